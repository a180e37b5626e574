"""Which samples stay for rehearsal, by each rule."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from models.batches import SampleSet
from models.config import LearningConfig
from models.continual.buffer import BottomK
from models.continual.selection import RULES, herded, keyed
from models.continual.state import LearningState
from models.continual.window import Candidate, learn_window
from models.interactions import Sample
from tests.models.tastes import checkerboard, learned, windows

CONFIG = LearningConfig(embedding_dim=8, probe_share=0.0, min_steps=30, holdout_share=0.0)


def keeping(rule: str) -> LearningConfig:
    return dataclasses.replace(CONFIG, methods=("replay",), parameters={"replay": {"keep": rule}})


@pytest.fixture(scope="module")
def learner() -> LearningState:
    return learned(LearningState.initial(CONFIG), checkerboard())


def updates(rule: str) -> list[Candidate]:
    """A long update and two short ones."""
    state, found = LearningState.initial(keeping(rule)), []
    for number, events in enumerate(windows(checkerboard() * 2, 320)[:3]):
        events = events if number == 0 else events[:80]
        found.append(learn_window(state, events, seed=number, draw=()))
        state = found[-1].state
    return found


def kept(rule: str, size: int) -> list[int]:
    """How many of each update a buffer of `size` keeps."""
    buffer, found = BottomK(size), updates(rule)
    owner: dict[int, int] = {}
    for number, candidate in enumerate(found):
        buffer.admit(candidate.admitted)
        owner |= {sample.key: number for sample in candidate.admitted}
    counts = Counter(owner[sample.key] for sample in buffer.draw(size, 0))
    return [counts[number] for number in range(len(found))]


@pytest.mark.parametrize("rule", ["period", "herding"])
def test_every_update_keeps_as_many(rule: str) -> None:
    assert kept(rule, 12) == [4, 4, 4]


def test_uniform_keeps_by_the_length_of_the_stream() -> None:
    counts = kept("uniform", 12)
    assert counts[0] > counts[1] + 1
    assert counts[0] > counts[2] + 1


@pytest.mark.parametrize("rule", RULES)
def test_keys_stay_apart_and_samples_as_they_were(rule: str, learner: LearningState) -> None:
    samples = learner.memory.histories.samples(checkerboard(first=5_000))
    found = keyed(rule, samples, learner)
    assert len({sample.key for sample in found}) == len(samples)
    assert all(0 <= sample.key < 2**64 for sample in found)
    same = [dataclasses.replace(one, key=0) for one in found]
    assert same == [dataclasses.replace(one, key=0) for one in samples]
    assert keyed(rule, samples, learner) == found
    assert (found == samples) == (rule == "uniform")


def losses(samples: Sequence[Sample], state: LearningState) -> np.ndarray[Any, np.dtype[Any]]:
    """−log p of each sample's targets, their mean, by the whole softmax."""
    found = SampleSet.of(samples, state.items.rows, state.users.rows)
    batch = found.batch(np.arange(len(found)))
    chances = (state.net.queries(batch) @ state.net.item_vectors().T).log_softmax(2)
    own = chances.gather(2, batch.targets.clamp(min=0)[..., None])[..., 0]
    wanted = batch.targets >= 0
    return np.asarray(-(own * wanted).sum(1) / wanted.sum(1))


def test_by_loss_is_a_sample_weighted_by_loss(learner: LearningState) -> None:
    """The mean loss of what is kept is Σw² / Σw, not Σw / n as of a uniform sample."""
    random = np.random.default_rng(0)
    ids = [f"{side}{place}" for side in "AB" for place in range(30)]
    samples = [
        Sample("u", (str(a), str(b)), 1, ("click",), (1.0,), int(random.integers(2**63)) * 2, n)
        for n, (a, b) in enumerate(random.choice(ids, (4_000, 2)))
    ]
    weights = losses(samples, learner)
    of_key = dict(zip((s.key for s in keyed("loss", samples, learner)), weights, strict=True))
    buffer = BottomK(400)
    buffer.admit(keyed("loss", samples, learner))
    found = np.mean([of_key[sample.key] for sample in buffer.draw(400, 0)])
    uniform, expected = weights.mean(), (weights**2).sum() / weights.sum()
    error = weights.std() / np.sqrt(400)
    assert expected - uniform > 5 * error, "else nothing could be seen"
    assert abs(found - expected) < 4 * error


def test_herding_takes_the_set_whose_mean_is_nearest_step_by_step() -> None:
    """Each pick is the best there is, by trying all; three of ten are near the best of all sets."""
    features = torch.randn(10, 3, generator=torch.Generator().manual_seed(3))
    rows = torch.nn.functional.normalize(features.double(), dim=1)
    mean = rows.mean(0)

    def distance(chosen: list[int]) -> float:
        return float((rows[chosen].mean(0) - mean).norm())

    taken = herded(features, 10).tolist()
    assert sorted(taken) == list(range(10))
    for count in range(1, 10):
        before, pick = taken[: count - 1], taken[count - 1]
        others = [row for row in range(10) if row not in before]
        assert distance([*before, pick]) == pytest.approx(
            min(distance([*before, other]) for other in others)
        )
    sets = [distance(list(chosen)) for chosen in combinations(range(10), 3)]
    assert np.mean(np.asarray(sets) < distance(taken[:3])) < 0.1
