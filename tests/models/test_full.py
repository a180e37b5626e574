"""The full retrain: fresh weights from the archive beside the increments."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from models.config import LearningConfig
from models.continual.full import learn_archive
from models.continual.memory import is_probe
from models.continual.state import LearningState
from models.continual.update import LearningCancelledError
from models.continual.window import learn_window
from models.interactions import Event, Histories, Sample
from tests.models.tastes import checkerboard, event, key, learned, purity

CONFIG = LearningConfig(
    embedding_dim=32, fisher_samples=64, probe_share=0.1, holdout_share=0.5, full_epochs=60
)


@pytest.fixture(scope="module")
def start() -> LearningState:
    return learned(LearningState.initial(CONFIG), checkerboard())


@pytest.fixture(scope="module")
def retrained(start: LearningState) -> LearningState:
    return learn_archive(start, checkerboard(), seed=5)


def test_learns_the_tastes_afresh(start: LearningState, retrained: LearningState) -> None:
    assert purity(retrained, "A") >= 0.9
    assert purity(retrained, "B") >= 0.9
    assert not torch.equal(retrained.net.items.rows, start.net.items.rows)


def test_vocabulary_and_memory_are_the_starts(
    start: LearningState, retrained: LearningState
) -> None:
    assert retrained.items is start.items
    assert retrained.memory is start.memory
    assert torch.equal(retrained.counts, start.counts)
    assert retrained.updates == start.updates + 1


def test_the_starts_weights_do_not_matter(start: LearningState, retrained: LearningState) -> None:
    moved = dataclasses.replace(start, net=start.untrained().net)
    again = learn_archive(moved, checkerboard(), seed=5)
    assert torch.equal(again.net.items.rows, retrained.net.items.rows)
    assert torch.equal(again.net.dense, retrained.net.dense)


def test_the_fisher_is_new(start: LearningState, retrained: LearningState) -> None:
    old = start.methods["online-ewc"].state_dict()["importance.dense"]
    new = retrained.methods["online-ewc"].state_dict()["importance.dense"]
    assert bool(new.any())
    assert not torch.equal(old, new)


def test_neither_probes_nor_waiting_samples_are_trained(
    start: LearningState, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Event] = []
    samples = Histories.samples

    def spy(self: Histories, events: list[Event]) -> list[Sample]:
        seen.extend(events)
        return samples(self, events)

    monkeypatch.setattr(Histories, "samples", spy)
    learn_archive(start, checkerboard(), seed=5)
    waiting = {s.user_id: s.num_targets for s in start.memory.pending}
    probes = {e.user_id for e in checkerboard() if is_probe(key(e.user_id), 0.1)}
    assert waiting
    assert probes
    for user in {e.user_id for e in checkerboard()}:
        mine = [e for e in checkerboard() if e.user_id == user]
        kept = [] if user in probes else mine[: len(mine) - waiting.get(user, 0)]
        assert [e for e in seen if e.user_id == user] == kept


def test_learning_goes_on_from_it(retrained: LearningState) -> None:
    window = checkerboard(first=480)[:200]
    candidate = learn_window(retrained, window, seed=9, draw=())
    assert candidate.report.penalty > 0.0
    assert candidate.admitted[: len(retrained.memory.pending)] == list(retrained.memory.pending)


def test_another_encoder_takes_over(start: LearningState) -> None:
    config = dataclasses.replace(CONFIG, encoder="mf", embedding_dim=32)
    recalled = LearningState.recall(start.export(), config)
    retrained = learn_archive(recalled, checkerboard(), seed=5)
    assert purity(retrained, "A") >= 0.8


def test_items_the_start_does_not_know_are_left_out(start: LearningState) -> None:
    later = [*checkerboard(), event("u0", "later", 5_000)]
    assert "later" not in learn_archive(start, later, seed=5).items


def test_can_be_cancelled(start: LearningState) -> None:
    asked = iter([False, False, True])
    with pytest.raises(LearningCancelledError):
        learn_archive(start, checkerboard(), seed=5, cancelled=lambda: next(asked))
