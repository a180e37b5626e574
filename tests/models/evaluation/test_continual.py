"""The forgetting matrix of an arm that is known by construction, and figures over seeds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from models.evaluation.arm import Arm, ArmKind, ArmSetup
from models.evaluation.protocol import Evaluation, evaluate
from models.evaluation.questions import Questions
from models.evaluation.report import report
from models.evaluation.scores import Scores, SharedScores
from models.evaluation.stream import Columns, Slice, Stream

PERIODS = 3
OWN = 25
"""Items of each period: more than K, so that a favourite can be out of reach."""


def _stream(probes: float = 0.5) -> Stream:
    """In period p every user takes item `p-0`; the base shows all items once."""
    columns = Columns([], [], [], [], [], [])
    items = [f"{period}-{place}" for period in range(PERIODS + 1) for place in range(OWN)]
    for second, item in enumerate(items):
        columns.append("reader", item, time_ms=second, period=0)
    for period in range(1, PERIODS + 1):
        for user in range(40):
            columns.append(f"u{user}", f"{period}-0", time_ms=1_000 * period + user, period=period)
    return Stream(columns, probe_share=probes)


class Fashion(Arm):
    """Puts the items of the latest `memory` periods above all others, by what their names say."""

    def __init__(self, memory: int = 1, hit: float = 1.0) -> None:
        self.memory, self.period, self.hit = memory, -1, hit

    def fit(self, base: Slice) -> None:
        self.update(base)

    def update(self, period: Slice) -> None:
        self.period += 1
        self.names = period.stream.items.ids[: period.num_items]

    def scores(self, questions: Questions) -> Scores:
        liked = {f"{p}-0" for p in range(self.period - self.memory + 1, self.period + 1)}
        own = [self.hit if name in liked else -float(row) for row, name in enumerate(self.names)]
        return SharedScores(own)


def _run(stream: Stream, seed: int = 0, /, **arms: Callable[[ArmSetup], Arm]) -> Evaluation:
    clock = count()
    kinds = [ArmKind(name.replace("_", "-"), "", make) for name, make in arms.items()]
    return evaluate(stream, kinds, ArmSetup(seed=seed), clock=lambda: float(next(clock)))


def _figures(stream: Stream, **arms: Callable[[ArmSetup], Arm]) -> dict[str, Any]:
    arms_reported: dict[str, Any] = report([_run(stream, **arms)])["arms"]
    return arms_reported


def test_the_matrix_of_an_arm_that_knows_the_last_period_alone() -> None:
    arm = _figures(_stream(), fashion=lambda _: Fashion(memory=1))["fashion"]["continual"]

    # the model after period i knows period i alone
    assert arm["matrix"] == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert arm["bwt"] == {"value": -1.0, "low": -1.0, "high": -1.0}
    assert arm["max_forgetting"]["value"] == 1.0
    assert arm["fwt"]["value"] == 0.0


def test_the_matrix_of_an_arm_that_forgets_nothing() -> None:
    arm = _figures(_stream(), fashion=lambda _: Fashion(memory=9))["fashion"]["continual"]

    assert arm["matrix"] == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert arm["bwt"]["value"] == arm["max_forgetting"]["value"] == 0.0


def test_intransigence_is_against_the_full_retrain_and_the_gap_against_both() -> None:
    arms = _figures(
        _stream(),
        frozen=lambda _: Fashion(memory=0),
        dull=lambda _: Fashion(hit=-1e9),
        full_retrain=lambda _: Fashion(memory=9),
    )

    assert arms["dull"]["continual"]["intransigence"]["value"] == 1.0
    assert arms["full-retrain"]["continual"]["intransigence"]["value"] == 0.0
    assert arms["frozen"]["update_ratio"] == pytest.approx(1.0)


def test_the_share_of_the_gap_is_asked_of_everybody() -> None:
    """Period 2 asks for what period 1 taught: repeats, so that learning shows in the headline."""
    columns = Columns([], [], [], [], [], [])
    for second in range(OWN):
        columns.append("reader", f"0-{second}", time_ms=second, period=0)
    columns.append("reader", "1-0", time_ms=50, period=0)
    for period in (1, 2):
        for user in range(40):
            columns.append(f"u{user}", "1-0", time_ms=1_000 * period + user, period=period)
    stream = Stream(columns, probe_share=0.5)
    arms = _figures(
        stream,
        frozen=lambda _: Fashion(memory=0),
        half=lambda _: Fashion(memory=1),
        full_retrain=lambda _: Fashion(memory=9),
    )

    assert arms["frozen"]["recall@20"] == 0.0
    assert arms["full-retrain"]["recall@20"] == 0.5
    for name, share in (("frozen", 0.0), ("half", 1.0), ("full-retrain", 1.0)):
        gap = arms[name]["continual"]["gap_closed"]
        assert (gap["value"], gap["low"], gap["high"]) == (share, share, share)


def test_without_floor_or_ceiling_there_is_no_share() -> None:
    arm = _figures(_stream(), fashion=lambda _: Fashion())["fashion"]

    assert arm["continual"]["gap_closed"] == {"value": None, "low": None, "high": None}
    assert arm["continual"]["intransigence"]["value"] is None
    assert arm["update_ratio"] is None


def test_without_probes_there_is_no_matrix_and_no_last_update() -> None:
    evaluation = _run(_stream(probes=0.0), fashion=lambda _: Fashion())
    arm = report([evaluation])["arms"]["fashion"]

    assert "matrix" not in arm["continual"]
    assert arm["continual"]["bwt"]["value"] is None
    assert len(evaluation.runs["fashion"].update_s) == PERIODS - 1


def test_with_probes_the_last_period_is_learned_too() -> None:
    run = _run(_stream(), fashion=lambda _: Fashion()).runs["fashion"]

    assert len(run.update_s) == PERIODS
    assert len(run.probe_ranks) == len(run.probe_s) == PERIODS + 1


def test_just_before_a_period_probes_are_answered_as_in_the_headline() -> None:
    stream = _stream()
    evaluation = _run(stream, fashion=lambda _: Fashion(memory=9))
    run = evaluation.runs["fashion"]

    for place, asked in enumerate(evaluation.asked):
        of_probes = stream.probe[asked.user]
        assert run.ranks[place][of_probes].tolist() == run.probe_ranks[place][place].tolist()


def test_later_items_do_not_push_out_those_known_at_the_period() -> None:
    """The last model likes twenty-five items that came later best; they were not known then."""

    class Novelty(Fashion):
        def scores(self, questions: Questions) -> Scores:
            return SharedScores(np.arange(len(self.names), dtype=np.float64))

    columns = Columns([], [], [], [], [], [])
    columns.append("reader", "old", time_ms=0, period=0)
    for user in range(20):
        columns.append(f"u{user}", "old", time_ms=10 + user, period=1)
    for place in range(OWN):
        columns.append("reader", f"new {place}", time_ms=100 + place, period=2)
    matrix = _figures(Stream(columns, probe_share=0.5), novelty=lambda _: Novelty())["novelty"][
        "continual"
    ]["matrix"]

    assert [line[0] for line in matrix] == [1.0, 1.0, 1.0]


def test_figures_are_means_over_seeds_beside_each_and_their_spread() -> None:
    class Lucky(Fashion):
        def __init__(self, setup: ArmSetup) -> None:
            super().__init__(memory=9 if setup.seed == 1 else 1)

    stream = _stream()
    evaluations = [_run(stream, seed, lucky=Lucky) for seed in (0, 1)]
    arm = report(evaluations)["arms"]["lucky"]

    assert [seed["seed"] for seed in arm["seeds"]] == [0, 1]
    assert [seed["continual"]["bwt"] for seed in arm["seeds"]] == [-1.0, 0.0]
    assert arm["continual"]["bwt"] == {"value": -0.5, "low": -0.5, "high": -0.5}
    assert arm["spread"]["continual"]["bwt"] == pytest.approx(np.sqrt(0.5))
    assert arm["continual"]["matrix"][3] == [0.5, 0.5, 1.0]
    assert "seed" not in arm


def test_a_seed_that_broke_is_named_and_the_others_count() -> None:
    class Fragile(Fashion):
        def __init__(self, setup: ArmSetup) -> None:
            super().__init__()
            if setup.seed == 1:
                raise RuntimeError("out of order")

    evaluations = [_run(_stream(), seed, fragile=Fragile) for seed in (0, 1)]
    figures = report(evaluations)

    assert figures["failed"] == {"fragile": "seed 1: RuntimeError: out of order"}
    assert [seed["seed"] for seed in figures["arms"]["fragile"]["seeds"]] == [0]
    assert figures["arms"]["fragile"]["spread"]["recall@20"] is None
