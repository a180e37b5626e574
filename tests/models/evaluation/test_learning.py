"""Every registered arm over streams with known answers; the learning arms must learn."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch

from models.config import LearningConfig
from models.content.features import Content
from models.evaluation.arm import ArmKind, ArmSetup
from models.evaluation.arms import KINDS, named
from models.evaluation.protocol import evaluate
from models.evaluation.report import report
from models.evaluation.stream import Stream
from tests.models.evaluation.streams import cycles

SMALL = LearningConfig(
    embedding_dim=16,
    max_history=8,
    dropout=0.0,
    full_epochs=4,
    holdout_share=0.0,
    batch_size=16,
    min_steps=20,
    fisher_samples=64,
)
LEARNING = ("network", "finetune", "ewc", "replay")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def flipped() -> Stream:
    """Sixty items in rounds, walked backwards from the last period of the base on."""
    return cycles(users=20, steps=60, items=60, flip=True)


def _recall(stream: Stream, *names: str, window: int | None = None) -> dict[str, list[float]]:
    setup = ArmSetup(config=SMALL, window=window)
    figures = report([evaluate(stream, named(names), setup, clock=time.perf_counter)])
    assert not figures["failed"]
    return {name: figures["arms"][name]["per_period"]["recall@10"] for name in names}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_arm_runs_and_covers_what_it_has_learned(kind: ArmKind) -> None:
    stream = cycles(users=20, steps=20)
    contents = {item: Content(f"thing number {item}") for item in stream.items.ids}
    setup = ArmSetup(config=SMALL, contents=contents)
    evaluation = evaluate(stream, [kind], setup, clock=time.perf_counter)
    run = evaluation.runs[kind.name]

    assert run.error is None
    assert len(run.ranks) == stream.num_periods
    for ranks, asked in zip(run.ranks, evaluation.asked, strict=True):
        assert np.isfinite(ranks[asked.known]).all()
        assert (ranks >= 1).all()


def test_learning_follows_a_change_that_frozen_weights_miss(flipped: Stream) -> None:
    recall = _recall(flipped, "frozen", *LEARNING)

    for name in LEARNING:
        assert recall[name][0] == recall["frozen"][0], "the same base, before any update"
        assert recall[name][-1] > recall["frozen"][-1] + 0.3


def test_windows_within_a_period_are_learned_one_after_the_other(flipped: Stream) -> None:
    setup = ArmSetup(config=SMALL, window=60)
    cut = evaluate(flipped, named(["network"]), setup, clock=time.perf_counter).runs["network"]
    whole = evaluate(
        flipped, named(["network"]), ArmSetup(config=SMALL), clock=time.perf_counter
    ).runs["network"]

    assert np.array_equal(cut.ranks[0], whole.ranks[0])
    assert not np.array_equal(cut.ranks[1], whole.ranks[1])
    assert (cut.ranks[-1] <= 10).mean() > 0.5


def test_the_same_seed_gives_the_same_figures(flipped: Stream) -> None:
    assert _recall(flipped, "network") == _recall(flipped, "network")


def test_an_arm_answers_alike_whatever_ran_before_it(flipped: Stream) -> None:
    assert (
        _recall(flipped, "freshet", "network")["network"] == _recall(flipped, "network")["network"]
    )


def test_replay_keeps_a_share_of_the_base(flipped: Stream) -> None:
    config = dataclasses.replace(SMALL, full_epochs=1, epochs=1)
    setup, kept = ArmSetup(config=config), {}
    for name in ("replay", "replay-1", "replay-4"):
        arm = named([name])[0].make(setup)
        arm.fit(flipped.slice(0))
        kept[name] = arm.costs()["samples_kept"]
    samples = kept["replay"]

    assert samples >= 100, "all of them are kept"
    assert kept["replay-1"] == round(0.01 * samples)
    assert kept["replay-4"] == round(0.04 * samples)
    arm.update(flipped.slice(1))
    assert arm.costs()["samples_kept"] == kept["replay-4"], "the size stays"
    assert arm.costs()["samples_replayed"] == kept["replay-4"]


def test_the_base_is_learned_under_the_methods_that_its_encoder_knows() -> None:
    stream = cycles(users=20, steps=20)
    setup = ArmSetup(config=dataclasses.replace(SMALL, encoder="mf"))
    kinds = named(["frozen", "replay", "fine-tuning"])
    runs = evaluate(stream, kinds, setup, clock=time.perf_counter).runs

    assert runs["frozen"].error is None
    assert runs["replay"].error is None
    assert runs["fine-tuning"].error == (
        "methods: fine-tuning works with gru and sasrec, not with mf"
    )
