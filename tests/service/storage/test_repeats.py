"""The window of remembered event ids."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from service.storage.repeats import RepeatWindow


def hashes(*values: int) -> npt.NDArray[np.uint64]:
    return np.array(values, dtype=np.uint64)


def test_a_repeat_within_a_stretch_is_flagged_after_its_first_arrival() -> None:
    window = RepeatWindow(max_ids=10, retention_ms=1_000)
    assert window.repeats(hashes(7, 8, 7, 7)).tolist() == [False, False, True, True]


def test_a_repeat_of_an_earlier_stretch_is_flagged() -> None:
    window = RepeatWindow(max_ids=10, retention_ms=1_000)
    window.remember(5, hashes(2**63 + 5, 3))
    assert window.repeats(hashes(3, 4, 2**63 + 5)).tolist() == [True, False, True]


def test_ids_beyond_the_bound_or_the_retention_are_forgotten_oldest_first() -> None:
    window = RepeatWindow(max_ids=4, retention_ms=100)
    window.remember(0, hashes(1, 2))
    window.remember(50, hashes(3, 4))
    assert len(window) == 4
    window.remember(60, hashes(5))
    assert window.repeats(hashes(1, 2, 3, 4, 5)).tolist() == [False, False, True, True, True]
    assert window.reach_ms == 50
    window.remember(155, hashes(6))
    assert window.repeats(hashes(3, 5, 6)).tolist() == [False, True, True]


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=8))
def test_within_its_bounds_it_agrees_with_a_set(stretches: list[list[int]]) -> None:
    window, seen = RepeatWindow(max_ids=1_000, retention_ms=1_000), set[int]()
    for ms, stretch in enumerate(stretches):
        expected = []
        for value in stretch:
            expected.append(value in seen)
            seen.add(value)
        flags = window.repeats(hashes(*stretch))
        assert flags.tolist() == expected
        window.remember(ms, hashes(*stretch)[~flags])
