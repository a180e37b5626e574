"""What users pass over: learned by the network alone, remembered to the bit, and harmless else."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from models.config import LearningConfig
from models.continual.full import learn_archive
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from models.registry import ENCODERS
from tests.models.fussy import disfavoured, stream
from tests.models.tastes import event, learned, windows
from tests.models.test_window import assert_same

CONFIG = LearningConfig(embedding_dim=16, min_steps=30, probe_share=0.05, fisher_samples=32)

BRIEFLY: dict[str, object] = {"min_steps": 2, "epochs": 1}

each_encoder = pytest.mark.parametrize("encoder", ENCODERS)


def skip(user_id: str, item_id: str, n: int) -> Event:
    return dataclasses.replace(event(user_id, item_id, n, weight=0.0, type="skip"), skip=True)


def taught(skips: bool = True, **changes: object) -> LearningState:
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    return learned(LearningState.initial(config), stream(skips=skips), size=160)


def begun(skips: bool = True, **changes: object) -> LearningState:
    """Of the same stream, with a few steps to each window."""
    return taught(skips, **{**BRIEFLY, **changes})


@each_encoder
def test_what_is_skipped_and_its_like_go_down_with_the_defaults(encoder: str) -> None:
    """Of the same stream, where the events that are skips otherwise pass for nothing."""
    without, taken = (taught(skips, encoder=encoder) for skips in (False, True))
    for shown in (True, False):
        before, after = (disfavoured(state, shown=shown) for state in (without, taken))
        assert 0.4 < before < 0.6, "B and C are alike but for that"
        assert after > before + 0.08


def test_a_full_retrain_learns_them_too() -> None:
    start = dataclasses.replace(begun(), config=dataclasses.replace(CONFIG, full_epochs=6))
    without, taken = (
        disfavoured(learn_archive(start, stream(skips=skips), seed=3), shown=True)
        for skips in (False, True)
    )
    assert taken > without + 0.08


def test_weight_0_is_off_to_the_bit() -> None:
    """(What is skipped is remembered all the same, for whom the setting is on again.)"""
    off, without = begun(skip_weight=0.0), begun(skips=False)
    assert any(sample.skipped for sample in off.memory.pending)
    forgotten = tuple(dataclasses.replace(one, skipped=()) for one in off.memory.pending)
    memory = dataclasses.replace(off.memory, pending=forgotten)
    assert_same(dataclasses.replace(off, memory=memory), without)


@pytest.mark.parametrize("loss", ["softmax", "gbce"])
def test_a_stream_without_skips_is_learned_as_if_there_were_none(loss: str) -> None:
    assert_same(begun(skips=False, loss=loss), begun(skips=False, loss=loss, skip_weight=0.0))


def test_a_skip_makes_no_user_no_item_and_no_sample() -> None:
    start = learned(LearningState.initial(CONFIG), windows(stream())[0])
    waiting = dataclasses.replace(start.memory, pending=())
    alone = [skip("nobody", "A1", 1), skip("nobody", "never", 2), skip("u0", "C1", 3)]
    found = learn_window(dataclasses.replace(start, memory=waiting), alone, seed=1, draw=())
    assert (found.report.samples, found.admitted, found.holdout) == (0, [], [])
    assert "nobody" not in found.state.users
    assert "never" not in found.state.items
    assert "nobody" not in set(found.state.memory.histories.users())
    mixed = [skip("u0", "never", 1), event("u0", "A1", 2), skip("u0", "never", 3)]
    found = learn_window(start, mixed, seed=1, draw=())
    assert "never" not in found.state.items
    assert bool(torch.isfinite(found.state.net.dense).all())


def test_those_who_wait_are_restored_with_what_they_skipped() -> None:
    config = dataclasses.replace(CONFIG, holdout_share=0.5, probe_share=0.3, min_steps=5)
    first, second, *_ = windows(stream(), 240)
    strange = [skip(e.user_id, "never", 10_000 + n) for n, e in enumerate(first[:60])]
    nothing = LearningState.initial(config)
    parent = learn_window(nothing, [*first, *strange], seed=1, draw=()).state
    waiting = [sample.skipped for sample in parent.memory.pending if sample.skipped]
    assert any("never" in skipped for skipped in waiting), "an item that is nobody's yet"
    assert not any(sample.skipped for sample in parent.memory.probes.samples)
    restored = LearningState.restore(parent.export(), config)
    assert restored.memory.pending == parent.memory.pending
    later = [event("u0", "never", 20_000), *second]
    once, twice = (learn_window(one, later, seed=2, draw=()) for one in (parent, restored))
    assert_same(once.state, twice.state)
    assert once.admitted == twice.admitted


def test_a_version_of_before_has_no_skips_and_is_read() -> None:
    state = begun()
    bundle = state.export()
    assert bundle.meta["memory"].pop("skipped")
    restored = LearningState.restore(bundle, state.config)
    assert not any(sample.skipped for sample in restored.memory.pending)


def test_replayed_samples_teach_what_they_remember() -> None:
    parent, window = begun(methods=("replay",)), windows(stream(seed=1))[0]
    draw = learn_window(parent, windows(stream(seed=2))[0], seed=1, draw=()).admitted
    assert any(sample.skipped for sample in draw)
    blank = [dataclasses.replace(sample, skipped=()) for sample in draw]
    one, other = (learn_window(parent, window, seed=2, draw=each).state for each in (draw, blank))
    assert not torch.equal(one.net.items.rows, other.net.items.rows)
