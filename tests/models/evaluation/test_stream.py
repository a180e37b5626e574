from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.asking import ask
from models.evaluation.stream import Columns, Stream, hashed
from tests.models.evaluation.streams import Line, stream_of


def _questions(stream: Stream, period: int, limit: int | None = None) -> list[list[str]]:
    """The history of each target, as ids."""
    questions, asked = ask(stream.slice(period))
    history = questions.histories(limit)
    ids = stream.items.ids
    return [
        [ids[row] for row in history.items[history.offsets[q] : history.offsets[q + 1]]]
        for q in asked.question
    ]


def test_sixty_percent_are_the_base_and_periods_are_of_equal_count() -> None:
    stream = stream_of([(f"u{n % 7}", f"i{n % 5}", n) for n in range(100)])

    assert stream.bounds.tolist() == [0, 60, 65, 70, 75, 80, 85, 90, 95, 100]
    assert stream.num_periods == 8


def test_no_instant_is_cut_in_two() -> None:
    stream = stream_of([("u", f"i{n}", n // 10) for n in range(100)], num_periods=2)

    assert all(
        stream.time_ms[cut - 1] < stream.time_ms[cut] for cut in stream.bounds[1:-1].tolist()
    )


def test_own_periods_are_kept_and_num_periods_takes_the_first_of_them() -> None:
    lines: list[Line] = [("u", f"i{n}", n, n // 4) for n in range(16)]

    assert stream_of(lines).bounds.tolist() == [0, 4, 8, 12, 16]
    assert stream_of(lines, num_periods=2).bounds.tolist() == [0, 4, 8, 12]


def test_events_are_ordered_by_time_and_rows_by_first_appearance() -> None:
    stream = stream_of([("b", "y", 2), ("a", "x", 1), ("a", "z", 3)], num_periods=1)

    assert list(stream.items.ids) == ["x", "y", "z"]
    assert list(stream.users.ids) == ["a", "b"]


def test_what_is_no_positive_signal_is_left_out() -> None:
    columns = Columns([], [], [], [], [], [])
    for second, weight in enumerate((1.0, 0.0, 1.0, 1.0)):
        columns.append("u", f"i{second}", time_ms=second, weight=weight)
    stream = Stream(columns, num_periods=1)

    assert list(stream.items.ids) == ["i0", "i2", "i3"]
    assert stream.num_read == 4


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([("u", "i", 1)], "too few"),
        ([("u", "i", 1, 0), ("u", "i", 2, 0)], "at least one more"),
        ([("u", "i", 1, 1), ("u", "i", 2, 0)], "follow each other"),
        ([("u", "i", 1, 1), ("u", "i", 2)], "either every event"),
    ],
)
def test_a_stream_that_cannot_be_cut_is_refused(lines: list[Line], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stream_of(lines)


BASKETS: list[Line] = [
    ("u", "a", 1, 0),
    ("u", "b", 1, 0),
    ("v", "z", 1, 0),
    ("u", "c", 2, 1),
    ("u", "d", 2, 1),
    ("v", "a", 2, 1),
    ("u", "e", 3, 1),
]


def test_the_history_of_a_basket_is_what_came_before_all_of_it() -> None:
    stream = stream_of(BASKETS)

    assert _questions(stream, 1) == [["a", "b"], ["a", "b"], ["z"], ["a", "b", "c", "d"]]
    assert len(ask(stream.slice(1))[0]) == 3, "a basket asks once"
    assert _questions(stream, 1, limit=3)[-1] == ["b", "c", "d"]


def test_lines_see_the_lines_above_them() -> None:
    stream = stream_of(BASKETS, baskets="lines")

    assert _questions(stream, 1) == [["a", "b"], ["a", "b", "c"], ["z"], ["a", "b", "c", "d"]]


def test_steps_count_baskets_back_from_now() -> None:
    questions, asked = ask(stream_of(BASKETS).slice(1))
    history = questions.histories()
    last = asked.question[-1]

    assert history.steps[history.offsets[last] : history.offsets[last + 1]].tolist() == [2, 2, 1, 1]


def test_what_is_known_of_each_target() -> None:
    stream = stream_of(
        [
            ("u", "a", 1, 0),
            ("u", "b", 2, 0),
            ("u", "c", 3, 1),  # an unseen item
            ("w", "a", 4, 1),  # a new user, nothing in the history
            ("w", "b", 5, 1),
            ("x", "c", 6, 1),
            ("x", "a", 7, 1),  # nothing known in the history
            ("u", "b", 8, 2),
            ("u", "b", 9, 3),
            ("u", "c", 10, 4),  # last seen three periods ago
        ]
    )
    _, first = ask(stream.slice(1))
    _, last = ask(stream.slice(4))

    assert first.known.tolist() == [False, True, True, False, True]
    assert first.ader.tolist() == [False, False, True, False, False]
    assert first.new_user.tolist() == [False, True, True, True, True]
    assert last.returning.tolist() == [True]


def test_a_share_of_the_users_is_asked_whole() -> None:
    stream = stream_of([(f"u{n % 50}", f"i{n % 5}", n) for n in range(1000)])
    _, some = ask(stream.slice(1), share=0.3, seed=1)
    _, everyone = ask(stream.slice(1))

    assert 0 < len(some) < len(everyone)
    assert set(some.user) < set(everyone.user)


def test_pairs_reach_back_over_the_start_of_a_slice_and_count_baskets_as_one_step() -> None:
    stream = stream_of(BASKETS)
    ids = stream.items.ids
    earlier, later, distance = stream.slice(1).pairs(max_distance=2)
    found = {(ids[a], ids[b], int(d)) for a, b, d in zip(earlier, later, distance, strict=True)}

    assert found == {
        ("a", "c", 1),
        ("b", "c", 1),
        ("a", "d", 1),
        ("b", "d", 1),
        ("z", "a", 1),
        ("c", "e", 1),
        ("d", "e", 1),
        ("a", "e", 2),
        ("b", "e", 2),
    }


def test_windows_cover_a_slice_in_order() -> None:
    stream = stream_of([("u", f"i{n % 5}", n) for n in range(100)])
    base = stream.slice(0)

    assert [len(window) for window in base.windows(25)] == [25, 25, 10]
    assert [len(window) for window in base.windows(None)] == [60]


def test_events_carry_what_the_log_would() -> None:
    events = stream_of(BASKETS).slice(1).events(seed=3)

    assert [(event.user_id, event.item_id, event.time_ms) for event in events] == [
        ("u", "c", 2000),
        ("u", "d", 2000),
        ("v", "a", 2000),
        ("u", "e", 3000),
    ]
    assert len({event.key for event in events}) == 4
    assert events[0].user_key == events[1].user_key != events[2].user_key


def test_hashes_are_distinct_and_spread_evenly() -> None:
    keys = hashed(np.arange(100_000), seed=7)

    assert len(np.unique(keys)) == len(keys)
    assert abs((keys < 2**63).mean() - 0.5) < 0.01
    assert not np.array_equal(keys[:10], hashed(np.arange(10), seed=8))
