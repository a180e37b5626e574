"""What the mixer is told, candidate by candidate in slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.memory.memory import FastMemory
from models.mixing.features import OF_ITEM, OF_MOMENT, OF_PAIR, describe, names, union
from models.sources import SOURCES, Proposal, Question
from tests.models.crowds import asked, crowd, stroll
from tests.oracles.test_sources import nearness, steps_of

TOP = 20
Told = dict[str, float]


def by_source(source: str, proposal: Proposal, item: int) -> Told:
    scores = dict(zip(proposal.items.tolist(), proposal.scores.tolist(), strict=True))
    if item not in scores:
        return {f"{source}.{name}": 0.0 for name in ("score", "log", "rank")}
    order = sorted(scores, key=lambda other: (-scores[other], other))
    share, rank = scores[item] / max(scores.values()), order.index(item) + 1
    return {
        f"{source}.score": share,
        f"{source}.log": max(1.0 + math.log(share) / 8.0, 0.0),
        f"{source}.rank": 1.0 / rank if rank <= TOP else 0.0,
    }


def of_item(memory: FastMemory, question: Question, item: int) -> Told:
    if item >= memory.num_items:
        hours = question.now_s / 3_600.0
        return dict.fromkeys(OF_ITEM, 0.0) | {"age": math.log1p(hours) / 8.0}
    age = max(question.now_s - float(memory.counts.times[item]), 0.0)
    counts = [
        value * 2.0 ** (-age / half_life_s)
        for value, half_life_s in zip(
            memory.counts.values[item].tolist(), memory.counts.half_lives_s.tolist(), strict=True
        )
    ]
    events = float(memory.counts.events[item])
    told = [*(math.log1p(count) / 4.0 for count in counts), math.log1p(events) / 8.0]
    return dict(zip(OF_ITEM, [*told, math.log1p(age / 3_600.0) / 8.0], strict=True))


def of_pair(question: Question, item: int) -> Told:
    met = [at for at, other in enumerate(question.items.tolist()) if other == item]
    if not met:
        return dict.fromkeys(OF_PAIR, 0.0)
    minutes = (question.now_s - question.times[met[-1]]) / 60.0
    steps = steps_of(question)[met[-1]]
    told = [1.0, 1.0 / steps, math.log1p(len(met)), 1.0 / (1.0 + math.log1p(minutes))]
    near = [nearness(float(question.times[at]), question.now_s) for at in met]
    return dict(zip(OF_PAIR, [*told, sum(near) / len(near)], strict=True))


def of_moment(question: Question) -> Told:
    gap_h = 1e4
    if len(question.times):
        gap_h = (question.now_s - float(question.times[-1])) / 3_600.0
    size = len(question.items)
    return dict(zip(OF_MOMENT, [math.log1p(size) / 4.0, math.log1p(gap_h) / 8.0], strict=True))


@pytest.mark.parametrize("size", [0, 1, 7, 45])
def test_every_candidate_is_described_as_the_formulas_say(size: int) -> None:
    memory, question = crowd(4, items=120), stroll(size, size, 120)
    said = {name: source.propose(memory, question) for name, source in SOURCES.items()}
    said["network"] = Proposal(np.asarray([3, 150, 4_000]), np.asarray([0.25, 1.0, 1e-9]))
    best = {name: proposal.best(TOP) for name, proposal in said.items()}
    items = union(best.values())
    found = describe(memory, question, items, said, best)
    assert found.shape == (len(items), len(names(tuple(said))))
    for line, item in zip(found, items.tolist(), strict=True):
        expected: Told = {}
        for source, proposal in said.items():
            expected |= by_source(source, proposal, item)
        expected |= of_item(memory, question, item) | of_pair(question, item) | of_moment(question)
        assert list(expected) == names(tuple(said))
        assert line.tolist() == pytest.approx(list(expected.values()), rel=1e-4, abs=1e-6)


def test_the_union_has_the_best_of_each_and_of_equals_the_lower_rows() -> None:
    many = Proposal(np.arange(50), np.repeat([1.0, 2.0], 25))
    few = Proposal(np.asarray([60, 61]), np.asarray([1.0, 1.0]))
    nothing = Proposal(np.empty(0, dtype=np.int64), np.empty(0))
    assert many.best(30).tolist() == [*range(25, 50), *range(5)]
    assert union(one.best(10) for one in (many, nothing, few)).tolist() == [*range(25, 35), 60, 61]
    assert union(one.best(30) for one in (many, few, many)).tolist() == [
        *range(5),
        *range(25, 50),
        60,
        61,
    ]
    assert not len(union([nothing.best(10)]))
    assert not len(union([]))


def test_of_nothing_nothing_is_said() -> None:
    memory = crowd(4, items=120)
    none = np.empty(0, dtype=np.int64)
    said = {"covisits": Proposal(none, np.empty(0))}
    found = describe(memory, asked([3]), none, said, {"covisits": none})
    assert found.shape == (0, len(names(["covisits"])))
