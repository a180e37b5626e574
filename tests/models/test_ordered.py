"""Arrays in order, against sets and lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.ordered import among, are_first

some = st.lists(st.integers(0, 20), max_size=30)


@given(some)
def test_each_value_is_first_once(values: list[int]) -> None:
    ordered = np.sort(np.asarray(values, dtype=np.int64))
    assert ordered[are_first(ordered)].tolist() == sorted(set(values))


@given(st.sets(st.integers(0, 20)), some)
def test_those_that_are_there_are_found_where_they_stand(held: set[int], wanted: list[int]) -> None:
    place, there = among(np.asarray(sorted(held), dtype=np.int64), np.asarray(wanted, dtype=int))
    assert there.tolist() == [one in held for one in wanted]
    found = [sorted(held)[at] for at in place[there].tolist()]
    assert found == [one for one in wanted if one in held]
