"""A period in which nobody is asked has no figure, and the mean passes over it."""

from __future__ import annotations

from itertools import count

import pytest

from models.evaluation.arm import ArmSetup
from models.evaluation.arms import named
from models.evaluation.protocol import Evaluation, evaluate
from models.evaluation.report import headline, report
from tests.models.evaluation.streams import Line, stream_of


def _evaluation(share: float = 1.0) -> Evaluation:
    """Period 1 asks for a known item, 2 for new ones alone, 3 for a known and an unseen one."""
    lines: list[Line] = [("u", "a", 1, 0), ("v", "a", 2, 0), ("u", "b", 3, 0), ("v", "b", 4, 0)]
    lines += [("u", "a", 10, 1), ("u", "n", 20, 2), ("v", "m", 21, 2)]
    lines += [("u", "b", 30, 3), ("v", "z", 31, 3)]
    clock = count()
    return evaluate(
        stream_of(lines),
        named(["popularity"]),
        ArmSetup(),
        clock=lambda: float(next(clock)),
        share=share,
    )


@pytest.mark.parametrize(
    ("reading", "curve", "mean"),
    [("ader", [1.0, None, 1.0], 1.0), ("strict", [1.0, 0.0, 0.5], 0.5)],
)
def test_a_period_without_targets_has_no_figure(
    reading: str, curve: list[float | None], mean: float
) -> None:
    evaluation = _evaluation()
    arm = report([evaluation], reading)["arms"]["popularity"]

    assert arm["per_period"]["recall@20"] == curve
    assert arm["recall@20"] == mean
    assert arm["continual"]["recall@20"]["value"] == mean, "one figure, one value"
    assert arm["readings"]["ader"]["per_period"]["mrr@20"][1] is None
    run = evaluation.runs["popularity"]
    assert headline(run, evaluation.asked, reading) == mean


def test_where_nobody_at_all_is_asked_there_is_no_mean() -> None:
    arm = report([_evaluation(share=1e-9)])["arms"]["popularity"]

    assert arm["per_period"]["recall@20"] == [None] * 3
    assert arm["recall@20"] is None
    assert arm["ndcg@20"] is None


def test_seeds_agree_on_what_was_not_asked() -> None:
    arm = report([_evaluation(), _evaluation()], "ader")["arms"]["popularity"]

    assert arm["per_period"]["recall@20"] == [1.0, None, 1.0]
    assert arm["spread"]["recall@20"] == 0.0
