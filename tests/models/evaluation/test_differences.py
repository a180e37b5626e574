"""Differences between arms, against cases worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from models.evaluation.bootstrap import MRR, RECALL, ByUser
from models.evaluation.differences import differences
from models.evaluation.protocol import ArmRun
from models.evaluation.questions import Asked
from tests.models.evaluation.asked import asked_of

USERS, PERIODS = 60, 2


def _run(name: str, ranks: Sequence[np.ndarray], seed: int = 0) -> ArmRun:
    return ArmRun(name, seed, ranks=list(ranks))


def _asked() -> list[Asked]:
    return [asked_of(list(range(USERS))) for _ in range(PERIODS)]


def _figures(asked: list[Asked]) -> dict[str, ByUser]:
    every = [np.ones(len(part), dtype=bool) for part in asked]
    return {
        name: ByUser(asked, every, gain=gain)
        for name, gain in (("recall@20", RECALL), ("mrr@20", MRR))
    }


def _hits(share: float, random: np.random.Generator, rank: float = 1.0) -> np.ndarray:
    return np.where(random.random(USERS) < share, rank, np.inf)


def test_questions_that_are_hard_for_both_cancel_out() -> None:
    random = np.random.default_rng(0)
    one = [_hits(0.5, random) for _ in range(PERIODS)]
    lower = [np.where(ranks == 1.0, 4.0, ranks) for ranks in one]
    runs = {"freshet": [_run("freshet", one)], "other": [_run("other", lower)]}

    found = differences(runs, "freshet", _figures(_asked()))

    assert list(found) == ["other"]
    assert found["other"]["recall@20"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    hits = float(np.mean([np.isfinite(ranks).mean() for ranks in one]))
    assert found["other"]["mrr@20"]["value"] == pytest.approx(-0.75 * hits)
    assert found["other"]["mrr@20"]["high"] < 0.0


def test_noise_holds_zero_and_a_clear_difference_does_not() -> None:
    random = np.random.default_rng(1)
    draw = partial(_hits, random=random)
    runs = {
        name: [_run(name, [draw(share) for _ in range(PERIODS)])]
        for name, share in (("freshet", 0.5), ("same", 0.5), ("worse", 0.1))
    }

    found = differences(runs, "freshet", _figures(_asked()))

    same, worse = found["same"]["recall@20"], found["worse"]["recall@20"]
    assert same["low"] < 0.0 < same["high"]
    assert worse["low"] < worse["value"] < worse["high"] < 0.0


def test_runs_are_paired_by_seed() -> None:
    all_hit, none = np.ones(USERS), np.full(USERS, np.inf)
    runs = {
        "freshet": [_run("freshet", [all_hit] * 2, 0), _run("freshet", [none] * 2, 1)],
        "other": [_run("other", [none] * 2, 1), _run("other", [all_hit] * 2, 0)],
        "late": [_run("late", [all_hit] * 2, 7)],
    }

    found = differences(runs, "freshet", _figures(_asked()))

    assert found["other"]["recall@20"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "late" not in found
