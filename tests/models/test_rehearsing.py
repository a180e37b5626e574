"""What generative replay makes up, where Reptile begins, what feature extraction holds still."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.generative import GenerativeReplay
from models.continual.moments import Rehearsal, Start
from models.continual.reptile import Reptile
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Sample
from tests.models.tastes import checkerboard, event, learned, windows

CONFIG = LearningConfig(embedding_dim=8, probe_share=0.0, min_steps=30, methods=())


@pytest.fixture(scope="module")
def parent() -> LearningState:
    return learned(LearningState.initial(CONFIG), checkerboard())


def made_up(parent: LearningState, fresh: int, seed: int = 1, **given: float) -> list[Sample]:
    config = LearningConfig(methods=("generative-replay",), parameters={"generative-replay": given})
    method = GenerativeReplay.initial(config)
    return list(method.rehearse(Rehearsal(parent, (), fresh, seed)))


def test_made_up_histories_hold_what_was_learned(parent: LearningState) -> None:
    """Nobody's history, every item known and once, and of one taste far more than by chance."""
    samples = made_up(parent, 200, length=5)
    assert len(samples) == 200
    assert {sample.user_id for sample in samples} == {""}
    for sample in samples:
        assert len(set(sample.item_ids)) == sample.num_targets == 5
        assert all(item in parent.items for item in sample.item_ids)
    sides = [
        Counter(item[0] for item in sample.item_ids).most_common(1)[0][1] for sample in samples
    ]
    assert np.mean(sides) > 3.7, "by chance 3.4"


def test_the_first_item_is_drawn_by_how_often_it_was_met(parent: LearningState) -> None:
    skewed = dataclasses.replace(parent, counts=parent.counts.clone())
    skewed.counts[:] = 1.0
    skewed.counts[3] = 60.0
    first = Counter(sample.item_ids[0] for sample in made_up(skewed, 2_000, length=2))
    share = 60.0 / float(skewed.counts.sum())
    assert stats.binomtest(first[parent.items.id(3)], 2_000, share).pvalue > 1e-3


def test_the_next_item_is_drawn_from_the_models_softmax(parent: LearningState) -> None:
    alone = dataclasses.replace(parent, counts=torch.zeros_like(parent.counts))
    alone.counts[0] = 1.0
    samples = made_up(alone, 4_000, length=2, top=10)
    query, vectors = parent.net.encode([[0]]), parent.net.item_vectors()
    scores = (query @ vectors.T)[0]
    scores[0] = -torch.inf
    best = scores.topk(10)
    expected = best.values.softmax(0).double().numpy() * len(samples)
    counted = Counter(parent.items.row(sample.item_ids[1]) for sample in samples)
    observed = [counted[row] for row in best.indices.tolist()]
    assert sum(observed) == len(samples)
    assert stats.chisquare(observed, expected * sum(observed) / expected.sum()).pvalue > 1e-3


def test_what_is_made_up_is_the_seeds_and_of_the_size_asked_for(parent: LearningState) -> None:
    first, again, other = (made_up(parent, 20, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(made_up(parent, 30, ratio=0.5)) == 15
    assert made_up(parent, 0) == made_up(LearningState.initial(CONFIG), 9) == []


def test_made_up_histories_are_trained_on() -> None:
    settings = dataclasses.replace(CONFIG, methods=("generative-replay",))
    state = learned(LearningState.initial(settings), checkerboard())
    candidate = learn_window(state, windows(checkerboard(flipped=True))[0], seed=1, draw=())
    assert candidate.report.replayed == candidate.report.samples > 0
    assert all(sample.user_id for sample in candidate.admitted), "what was made up is not admitted"


def test_the_encoder_stands_still_and_the_rows_learn() -> None:
    settings = dataclasses.replace(
        CONFIG,
        methods=("feature-extraction",),
        parameters={"feature-extraction": {"after": 2}},
    )
    state, dense, rows = LearningState.initial(settings), [], []
    for number, window in enumerate(windows(checkerboard())[:4] * 2):
        state = learn_window(state, window, seed=number, draw=()).state
        dense.append(state.net.dense.clone())
        rows.append(state.net.items.rows[:10].clone())
    moved = [not torch.equal(a, b) for a, b in pairwise(dense)]
    assert moved == [True] + [False] * (len(dense) - 2)
    assert all(not torch.equal(a, b) for a, b in pairwise(rows))


@pytest.mark.parametrize(
    ("beside", "parameters", "grown"),
    [
        ("progressive", {"every": 1, "width": 3}, "progressive.0.output"),
        ("adapters", {"domains": 2}, "adapter_up"),
    ],
)
def test_what_is_grown_on_an_encoder_that_stands_still_learns(
    beside: str, parameters: dict[str, int], grown: str
) -> None:
    settings = dataclasses.replace(
        CONFIG, methods=("feature-extraction", beside), parameters={beside: parameters}
    )
    first, second, *_ = windows(checkerboard())
    state = learn_window(LearningState.initial(settings), first, seed=0, draw=()).state
    after = learn_window(state, second, seed=1, draw=()).state
    before, now = (one.net.layout.views(one.net.dense) for one in (state, after))
    assert all(torch.equal(part, now[name]) for name, part in before.items())
    assert now[grown].any()


def test_nothing_is_made_up_where_no_item_was_met(parent: LearningState) -> None:
    unmet = dataclasses.replace(parent, counts=torch.zeros_like(parent.counts))
    assert made_up(unmet, 20) == []


def test_reptile_moves_the_first_row_towards_what_new_rows_became() -> None:
    config = LearningConfig(methods=("reptile",), parameters={"reptile": {"rate": 0.25}})
    first, second = torch.tensor([[4.0, 0.0], [2.0, 2.0]]), torch.tensor([[0.0, 8.0]])
    method = Reptile.initial(config)
    rows = torch.ones(3, 2)
    assert method.newcomers("items", rows) is rows
    begun = method.begun(Start({"items": first}, {"items": 0}))
    method = begun.consolidate({"items": first}, Fisher())
    assert method.first["items"].tolist() == [3.0, 1.0]
    both = torch.cat([first, second])
    method = method.begun(Start({"items": both}, {"items": 2})).consolidate(
        {"items": both}, Fisher()
    )
    assert method.first["items"].tolist() == [3.0 * 0.75, 1.0 * 0.75 + 8.0 * 0.25]


def test_new_rows_begin_where_new_rows_have_ended() -> None:
    """Directions: at once nearer to the mean of the items that were new before."""
    near = {}
    for methods in ((), ("reptile",)):
        settings = dataclasses.replace(CONFIG, methods=methods, min_steps=0, epochs=1)
        state = learned(
            LearningState.initial(dataclasses.replace(settings, min_steps=30)), checkerboard()
        )
        mean = state.net.item_vectors().mean(0)
        state = dataclasses.replace(state, config=dataclasses.replace(settings, learning_rate=1e-9))
        events = [event("w", f"new{n}", 9_000 + n) for n in range(20)]
        grown = learn_window(state, events, seed=1, draw=()).state
        near[methods] = float((grown.net.item_vectors()[-20:] @ mean).mean() / mean.norm())
    assert near["reptile",] > near[()] + 0.5
