from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from models.evaluation.arm import Arm, ArmKind, ArmSetup
from models.evaluation.arms import DEFAULT, KINDS, named
from models.evaluation.protocol import evaluate
from models.evaluation.questions import Questions
from models.evaluation.report import report
from models.evaluation.scores import Scores, SharedScores
from models.evaluation.stream import Slice
from tests.models.evaluation.streams import cycles, stream_of


class Diary(Arm):
    """Writes down what it is told and asked, and answers as if item row 0 were the best."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.known = 0

    def fit(self, base: Slice) -> None:
        self.pages.append(f"fit {base.start}-{base.stop}")
        self.known = base.num_items

    def update(self, period: Slice) -> None:
        self.pages.append(f"update {period.start}-{period.stop}")
        self.known = period.num_items

    def scores(self, questions: Questions) -> Scores:
        self.pages.append("asked")
        return SharedScores(-np.arange(self.known))

    def costs(self) -> dict[str, float]:
        return {"pages": float(len(self.pages))}


class Breaking(Diary):
    def update(self, period: Slice) -> None:
        raise RuntimeError("out of order")


@pytest.fixture
def clock() -> Iterator[int]:
    return count()


def test_every_period_is_asked_before_it_is_learned(clock: Iterator[int]) -> None:
    diary = Diary()
    stream = cycles(users=5, steps=20)
    evaluate(
        stream,
        [ArmKind("diary", "", lambda _: diary)],
        ArmSetup(),
        clock=lambda: float(next(clock)),
    )

    assert diary.pages == [
        "fit 0-60",
        "asked",
        "update 60-70",
        "asked",
        "update 70-80",
        "asked",
        "update 80-90",
        "asked",
    ]


def test_the_failure_of_one_arm_does_not_lose_the_others(clock: Iterator[int]) -> None:
    kinds = [
        ArmKind("breaking", "", lambda _: Breaking()),
        ArmKind("diary", "", lambda _: Diary()),
    ]
    evaluation = evaluate(
        cycles(users=5, steps=20), kinds, ArmSetup(), clock=lambda: float(next(clock))
    )
    figures = report([evaluation])

    assert figures["failed"] == {"breaking": "RuntimeError: out of order"}
    assert list(figures["arms"]) == ["diary"]
    assert len(evaluation.runs["breaking"].ranks) == 1, "what it did before is kept"


def test_figures_are_those_of_the_ranks(clock: Iterator[int]) -> None:
    """Base: a, b. Period 1 asks for a (rank 1), for the unseen c, and for b (rank 2)."""
    stream = stream_of(
        [
            ("u", "a", 1, 0),
            ("v", "b", 2, 0),
            ("u", "a", 3, 1),
            ("u", "c", 4, 1),
            ("w", "b", 5, 1),
        ]
    )
    kinds = [ArmKind("diary", "", lambda _: Diary())]
    evaluation = evaluate(stream, kinds, ArmSetup(), clock=lambda: float(next(clock)))
    strict, ader = report([evaluation]), report([evaluation], "ader")
    arm = strict["arms"]["diary"]

    assert arm["recall@20"] == pytest.approx(2 / 3)
    assert arm["mrr@20"] == pytest.approx((1 + 1 / 2) / 3)
    assert arm["ndcg@20"] == pytest.approx((1 + 1 / np.log2(3)) / 3)
    assert arm["per_period"]["recall@10"] == [pytest.approx(2 / 3)]
    assert arm["slices"]["new_items"] == {"recall@20": 0.0, "mrr@20": 0.0, "n": 1}
    assert arm["slices"]["new_users"] == {"recall@20": 1.0, "mrr@20": 0.5, "n": 1}
    assert arm["costs"] == {"pages": 2.0}
    assert ader["arms"]["diary"]["recall@20"] == 1.0
    assert arm["readings"]["ader"]["recall@20"] == 1.0
    assert strict["periods"][0]["targets"] == 3
    assert strict["periods"][0]["targets_ader"] == 1


def test_an_unknown_reading_is_refused(clock: Iterator[int]) -> None:
    evaluation = evaluate(
        cycles(users=5, steps=20), [], ArmSetup(), clock=lambda: float(next(clock))
    )
    with pytest.raises(ValueError, match="strict, ader"):
        report([evaluation], "kind")


def test_arms_are_named_in_the_order_of_the_table() -> None:
    assert [kind.name for kind in named(["markov", "frozen"])] == ["frozen", "markov"]
    assert {kind.name for kind in named(DEFAULT)} == set(DEFAULT)
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("names", [["popular"], []])
def test_arms_that_do_not_exist_are_refused_by_name(names: list[str]) -> None:
    with pytest.raises(ValueError, match="arms: "):
        named(names)
