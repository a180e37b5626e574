"""Several versions, of one learner or of several, answering together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from models.evaluation.arm import Arm, ArmSetup
from models.evaluation.asking import ask
from models.evaluation.ensembles import Ensemble, Seeds
from models.evaluation.learning import Learner
from models.evaluation.questions import Questions
from models.evaluation.stream import Stream
from tests.models.evaluation.streams import Line, stream_of
from tests.models.evaluation.test_learning import SMALL

QUICK = dataclasses.replace(SMALL, full_epochs=2, min_steps=5, fisher_samples=8)


@pytest.fixture(scope="module")
def growing() -> Stream:
    """Users walk through items that come up by and by: each period knows more than the last."""
    lines: list[Line] = []
    for step in range(40):
        for user in range(8):
            lines.append((f"u{user}", f"i{(user * 3 + step) % (10 + step // 2)}", step * 8 + user))
    return stream_of(lines, num_periods=4)


def walked(arm: Arm, stream: Stream, periods: int = 3) -> list[torch.Tensor]:
    """The arm's scores of all questions of the periods that it comes to."""
    arm.fit(stream.slice(0))
    found = []
    for period in range(1, periods + 1):
        found.append(scored(arm, ask(stream.slice(period))[0]))
        arm.update(stream.slice(period))
    return found


def scored(arm: Arm, questions: Questions) -> torch.Tensor:
    scores: torch.Tensor = arm.scores(questions).scores  # type: ignore[attr-defined]
    return scores


def test_of_one_version_it_is_the_learner_to_the_bit(growing: Stream) -> None:
    setup = ArmSetup(config=QUICK)
    alone, single = walked(Learner(setup), growing), walked(Ensemble(setup, versions=1), growing)
    for expected, found in zip(alone, single, strict=True):
        assert torch.equal(found.isnan(), expected.isnan())
        assert torch.equal(found.nan_to_num(), expected.nan_to_num())


def test_the_mean_of_the_last_versions_ranks(growing: Stream) -> None:
    """Each asked with its own weights; what all of them know has the plain mean."""
    setup = ArmSetup(config=QUICK)
    learner, ensemble = Learner(setup), Ensemble(setup, versions=2)
    questions = ask(growing.slice(4))[0]
    each = []
    walked(ensemble, growing)
    learner.fit(growing.slice(0))
    for period in range(1, 4):
        learner.update(growing.slice(period))
        each.append(scored(learner, questions))
    found, size = scored(ensemble, questions), each[-2].shape[1]
    assert size < found.shape[1], "an item that the older version does not know"
    expected = (each[-1][:, :size].double() + each[-2].double()) / 2
    torch.testing.assert_close(found[:, :size].double(), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[:, :size], each[-1][:, :size], atol=1e-2)
    assert found[:, size:].isfinite().all()


def test_no_more_versions_are_kept_than_answer(growing: Stream) -> None:
    setup = ArmSetup(config=QUICK)
    costs = {}
    for versions in (1, 2):
        arm = Ensemble(setup, versions=versions)
        walked(arm, growing)
        assert len(arm.versions) == versions
        costs[versions] = arm.costs()["bytes_kept"]
    older = arm.versions[0]
    assert costs[2] - costs[1] == sum(part.nbytes for part in older.net.snapshot().values())


def test_what_is_learned_does_not_change(growing: Stream) -> None:
    setup = ArmSetup(config=QUICK)
    arms = Learner(setup), Ensemble(setup)
    for arm in arms:
        walked(arm, growing)
    left, right = (arm._state.net.snapshot() for arm in arms)
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_several_seeds_answer_with_the_mean_of_learners_that_know_nothing_of_each_other(
    growing: Stream,
) -> None:
    setup = ArmSetup(config=QUICK)
    together = walked(Seeds(setup), growing, 2)
    each = [
        walked(Learner(dataclasses.replace(setup, seed=seed)), growing, 2) for seed in (0, 1_000)
    ]
    for found, *alone in zip(together, *each, strict=True):
        assert not torch.allclose(alone[0], alone[1], equal_nan=True, atol=1e-2)
        mean = (alone[0] + alone[1]) / 2
        torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_one_seed_is_the_learner_to_the_bit(growing: Stream) -> None:
    setup = ArmSetup(config=QUICK)
    single, alone = (walked(arm, growing, 2) for arm in (Seeds(setup, seeds=1), Learner(setup)))
    for found, expected in zip(single, alone, strict=True):
        assert torch.equal(found.nan_to_num(), expected.nan_to_num())
