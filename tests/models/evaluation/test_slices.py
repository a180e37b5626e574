"""Figures by how often item and user were seen, against streams counted by hand."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from models.evaluation.arm import ArmKind, ArmSetup
from models.evaluation.asking import ask
from models.evaluation.protocol import evaluate
from models.evaluation.report import report
from models.evaluation.slices import BUCKETS, slices
from models.evaluation.stream import Columns, Stream
from tests.models.evaluation.streams import Line, stream_of
from tests.models.evaluation.test_protocol import Diary

LINES: list[Line] = [
    ("u", "a", 1, 0),
    ("v", "a", 2, 0),
    ("v", "b", 3, 0),
    ("w", "c", 4, 1),  # c: 0 events, w: 0
    ("u", "a", 5, 1),  # a: 2, u: 1
    ("u", "b", 6, 1),  # b: 1, u: 2, and a of this period already among them
    ("v", "c", 6, 1),  # c: 0 still, v: 2
    ("w", "c", 7, 2),  # c: 2, w: 1
    ("w", "a", 7, 2),  # a: 3, w: 1: a basket is not in its own history
    ("w", "d", 8, 2),  # d: 0, w: 3
]


def test_items_are_counted_at_the_period_s_start_and_users_before_the_question() -> None:
    stream = stream_of(LINES)
    first, second = ask(stream.slice(1))[1], ask(stream.slice(2))[1]

    assert first.item_events.tolist() == [0, 2, 1, 0]
    assert first.user_events.tolist() == [0, 1, 2, 2]
    assert second.item_events.tolist() == [2, 3, 0]
    assert second.user_events.tolist() == [1, 1, 3]


def test_in_lines_a_basket_is_in_its_own_history() -> None:
    second = ask(stream_of(LINES, baskets="lines").slice(2))[1]

    assert second.user_events.tolist() == [1, 2, 3]


def test_events_of_probes_are_never_learned_from() -> None:
    """At this share u1 is a probe and u0 is none, by the hash of the names."""
    columns = Columns([], [], [], [], [], [])
    for second, (user, period) in enumerate((("u1", 0), ("u0", 0), ("u1", 0), ("u0", 1))):
        columns.append(user, "a", time_ms=second, period=period)
    shares = {share: Stream(columns, probe_share=share) for share in (0.0, 0.6)}

    assert shares[0.6].probe.tolist() == [True, False]
    assert ask(shares[0.0].slice(1))[1].item_events.tolist() == [3]
    assert ask(shares[0.6].slice(1))[1].item_events.tolist() == [1]


def test_figures_by_bucket_pool_the_periods() -> None:
    """Row a = 0 ranks first, b second, c third, where they are known."""
    clock = count()
    evaluation = evaluate(
        stream_of(LINES),
        [ArmKind("diary", "", lambda _: Diary())],
        ArmSetup(),
        clock=lambda: float(next(clock)),
    )
    found = report([evaluation])["arms"]["diary"]["slices"]
    nothing = {"recall@20": 0.0, "mrr@20": 0.0, "n": 0}

    assert found["item_events"] == {
        "0": {"recall@20": 0.0, "mrr@20": 0.0, "n": 3},
        "1": {"recall@20": 1.0, "mrr@20": 1 / 2, "n": 1},
        "2": {"recall@20": 1.0, "mrr@20": pytest.approx((1 + 1 / 3) / 2), "n": 2},
        "3-5": {"recall@20": 1.0, "mrr@20": 1.0, "n": 1},
        "6-10": nothing,
        "more": nothing,
    }
    assert {name: part["n"] for name, part in found["user_events"].items()} == {
        "0": 1, "1": 3, "2": 2, "3-5": 1, "6-10": 0, "more": 0,
    }  # fmt: skip
    assert found["user_events"]["1"]["mrr@20"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    ader = report([evaluation], "ader")["arms"]["diary"]["slices"]["item_events"]
    assert [part["n"] for part in ader.values()] == [0, 1, 2, 1, 0, 0]


def test_every_number_of_events_has_its_bucket() -> None:
    """One target for each count 0 … 12, ranked first where the count is even."""
    counts = np.arange(13)
    columns = Columns([], [], [], [], [], [])
    for item in counts.tolist():
        for _ in range(item):
            columns.append("u", f"i{item}", time_ms=0, period=0)
    for item in counts.tolist():
        columns.append(f"v{item}", f"i{item}", time_ms=1, period=1)
    _, asked = ask(Stream(columns).slice(1))
    assert asked.item_events.tolist() == counts.tolist()
    ranks = np.where(asked.item_events % 2 == 0, 1.0, np.inf)
    found = slices([ranks], [asked], [np.ones(13, dtype=bool)])["item_events"]

    assert list(found) == list(BUCKETS)
    assert [part["n"] for part in found.values()] == [1, 1, 1, 3, 5, 2]
    expected = [1.0, 0.0, 1.0, 1 / 3, 3 / 5, 1 / 2]
    assert [part["recall@20"] for part in found.values()] == pytest.approx(expected)
