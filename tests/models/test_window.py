"""One window into one candidate: what is learned, what is held out, and that it is a function."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.memory import is_held_out, is_probe
from models.continual.state import LearningState
from models.continual.window import Candidate, learn_window
from models.parameters import Bundle
from models.registry import ENCODERS
from tests.models.devices import each_device
from tests.models.tastes import checkerboard, event, key, learned, purity, windows

CONFIG = LearningConfig(embedding_dim=16, min_steps=10, fisher_samples=64, probe_share=0.1)

LEARNED = {"gru": 0.9, "mf": 0.9, "sasrec": 0.75}
"""Purity after the checkerboard; ½ is chance. Attention looks up the item that
followed last time, and puts the side's other items on top later than a state or a mean does."""

each_encoder = pytest.mark.parametrize("encoder", ENCODERS)


def configured(encoder: str = "gru", **changes: float) -> LearningConfig:
    return dataclasses.replace(CONFIG, encoder=encoder, **changes)  # type: ignore[arg-type]


def flat(bundle: Bundle) -> dict[str, Tensor]:
    return {
        f"{part}/{name}": tensor
        for part, tensors in bundle.tensors.items()
        for name, tensor in tensors.items()
    }


def assert_same(first: LearningState, second: LearningState) -> None:
    """Equal to the bit in everything that is exported."""
    one, other = first.export(), second.export()
    assert (one.ids, one.meta) == (other.ids, other.meta)
    assert flat(one).keys() == flat(other).keys()
    for name, tensor in flat(one).items():
        assert torch.equal(tensor, flat(other)[name]), name


def second_window(parent: LearningState) -> Candidate:
    first, second, _ = windows(checkerboard())
    draw = learn_window(LearningState.initial(parent.config), first, seed=1, draw=()).admitted
    return learn_window(parent, second, seed=2, draw=draw[:5])


def first_state(config: LearningConfig) -> LearningState:
    return learn_window(
        LearningState.initial(config), windows(checkerboard())[0], seed=1, draw=()
    ).state


@each_encoder
def test_the_same_window_twice_is_the_same_to_the_bit(encoder: str) -> None:
    parent = first_state(configured(encoder))
    once, twice = second_window(parent), second_window(parent)
    assert_same(once.state, twice.state)
    assert once.report == twice.report


@each_encoder
def test_exported_restored_and_learned_equals_learned(encoder: str) -> None:
    parent = first_state(configured(encoder))
    restored = LearningState.restore(parent.export(), parent.config)
    assert_same(restored, parent)
    assert_same(second_window(restored).state, second_window(parent).state)


@each_encoder
def test_the_parent_is_not_changed(encoder: str) -> None:
    parent = first_state(configured(encoder))
    before = {name: tensor.clone() for name, tensor in flat(parent.export()).items()}
    ids = parent.export().ids
    second_window(parent)
    assert parent.export().ids == ids
    for name, tensor in flat(parent.export()).items():
        assert torch.equal(tensor, before[name]), name


@each_encoder
def test_another_seed_gives_another_candidate(encoder: str) -> None:
    parent, window = first_state(configured(encoder)), windows(checkerboard())[1]
    one = learn_window(parent, window, seed=2, draw=())
    other = learn_window(parent, window, seed=3, draw=())
    assert not torch.equal(one.state.net.items.rows, other.state.net.items.rows)


def test_users_are_split_and_the_held_out_are_trained_next() -> None:
    parent, (first, second, _) = LearningState.initial(CONFIG), windows(checkerboard())
    candidate = learn_window(parent, first, seed=1, draw=())

    trained = {sample.user_id for sample in candidate.admitted}
    pending = list(candidate.state.memory.pending)
    held_out = {sample.user_id for sample in pending}
    probes = {sample.user_id for sample in candidate.state.memory.probes.samples}
    assert probes == {e.user_id for e in first if is_probe(key(e.user_id), 0.1)}
    assert held_out == {e.user_id for e in first if is_held_out(key(e.user_id), 1, 0.1)} - probes
    assert trained | held_out | probes == {e.user_id for e in first}
    assert not trained & held_out
    assert held_out
    assert probes
    assert candidate.holdout == [*pending, *candidate.state.memory.probes.samples]

    later = learn_window(candidate.state, second, seed=2, draw=())
    assert later.admitted[: len(pending)] == pending


def test_probe_users_leave_no_trace_in_the_weights() -> None:
    """What a probe user does moves vocabulary and memory alone."""
    window = windows(checkerboard())[0]
    probe = next(e.user_id for e in window if is_probe(key(e.user_id), 0.1))
    item_ids = ("A0", "A7", "A14")
    candidates = [
        learn_window(
            LearningState.initial(CONFIG), [*window, event(probe, item_id, 999)], seed=1, draw=()
        )
        for item_id in item_ids
    ]
    for item_id, candidate in zip(item_ids, candidates, strict=True):
        assert candidate.state.memory.histories[probe][-1] == item_id
        assert torch.equal(candidate.state.net.items.rows, candidates[0].state.net.items.rows)
        assert torch.equal(candidate.state.net.dense, candidates[0].state.net.dense)


def test_everything_positive_grows_vocabulary_and_memory_in_order() -> None:
    events = [event("u", "a", 0), event("v", "b", 1), event("u", "c", 2, weight=0.0)]
    state = learn_window(LearningState.initial(CONFIG), events, seed=1, draw=()).state
    assert list(state.items.ids) == ["a", "b"]
    assert list(state.users.ids) == ["u", "v"]
    assert state.memory.histories["u"] == ("a",)
    assert state.counts.tolist() == [1, 1]


@each_encoder
def test_a_window_with_nothing_to_learn_moves_the_state_on(encoder: str) -> None:
    parent = first_state(configured(encoder))
    parent = dataclasses.replace(parent, memory=dataclasses.replace(parent.memory, pending=()))
    candidate = learn_window(parent, [event("u1", "A1", 0, weight=0.0)], seed=2, draw=())
    assert candidate.report.steps == 0
    assert torch.equal(candidate.state.net.items.rows, parent.net.items.rows)
    assert candidate.state.updates == parent.updates + 1


@each_encoder
def test_the_smallest_window_is_learned(encoder: str) -> None:
    config = configured(encoder, probe_share=0.0, holdout_share=0.0)
    state = learn_window(LearningState.initial(config), [event("u", "a", 0)], seed=0, draw=()).state
    assert torch.isfinite(state.net.encode([[0]], [0])).all()
    state = learn_window(state, [event("u", "b", 1)], seed=0, draw=()).state
    assert bool(torch.isfinite(state.net.dense).all())


def test_a_draw_with_ids_nobody_knows_does_no_harm() -> None:
    parent = first_state(CONFIG)
    strange = [
        dataclasses.replace(s, user_id="nobody", item_ids=("x",) * len(s.item_ids))
        for s in second_window(parent).admitted
    ]
    state = learn_window(parent, windows(checkerboard())[1], seed=2, draw=strange).state
    assert "x" not in state.items
    assert bool(torch.isfinite(state.net.dense).all())


def test_without_replay_among_the_methods_the_draw_is_not_read() -> None:
    config = dataclasses.replace(CONFIG, methods=("online-ewc",))
    parent, window = first_state(config), windows(checkerboard())[1]
    draw = second_window(parent).admitted
    assert_same(
        learn_window(parent, window, seed=2, draw=draw).state,
        learn_window(parent, window, seed=2, draw=()).state,
    )


def test_the_draw_is_learned() -> None:
    config = dataclasses.replace(CONFIG, methods=("replay",))
    parent, window = first_state(config), windows(checkerboard())[1]
    draw = second_window(parent).admitted
    without = learn_window(parent, window, seed=2, draw=())
    replayed = learn_window(parent, window, seed=2, draw=draw)
    assert replayed.report.replayed == len(draw)
    assert not torch.equal(replayed.state.net.items.rows, without.state.net.items.rows)
    assert replayed.admitted == without.admitted


@each_encoder
@each_device
def test_what_is_learned_lies_on_the_cpu_wherever_it_was_learned(encoder: str, device: str) -> None:
    config = configured(encoder, embedding_dim=32, min_steps=40)
    state = LearningState.initial(config)
    for number, window in enumerate(windows(checkerboard())):
        state = learn_window(state, window, seed=number, draw=(), device=device).state
    assert {tensor.device.type for tensor in flat(state.export()).values()} == {"cpu"}
    assert purity(state, "A") >= LEARNED[encoder] - 0.1


def test_progress_goes_to_one() -> None:
    shares: list[float] = []
    learn_window(
        LearningState.initial(CONFIG),
        windows(checkerboard())[0],
        seed=1,
        draw=(),
        progress=shares.append,
    )
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


@each_encoder
@pytest.mark.parametrize("normalize", [True, False])
def test_checkerboard_the_tastes_are_learned_and_unlearned(encoder: str, normalize: bool) -> None:
    """With the defaults: own taste on top, and again after every user has changed sides."""
    config = LearningConfig(encoder=encoder, normalize=normalize)
    state = learned(LearningState.initial(config), checkerboard())
    assert purity(state, "A") >= LEARNED[encoder]
    assert purity(state, "B") >= LEARNED[encoder]
    if encoder == "mf":
        return  # a user's row has no notion of now: see the next test
    state = learned(state, checkerboard(flipped=True, first=480))
    assert purity(state, "A") >= min(LEARNED[encoder] - 0.1, 0.7)
    assert purity(state, "B") >= min(LEARNED[encoder] - 0.1, 0.7)


def test_checkerboard_a_users_row_follows_him_to_the_other_side() -> None:
    """Matrix factorization needs to meet the new side a few times."""
    state = learned(LearningState.initial(LearningConfig(encoder="mf")), checkerboard())
    for turn in range(3):
        state = learned(state, checkerboard(flipped=True, first=480 * (turn + 1)))
    assert purity(state, "A") >= 0.8


def test_users_who_were_never_trained_are_asked_by_their_history_alone() -> None:
    """A probe's row is no more than noise: the mean of what the user had answers in its place."""
    config = configured("mf", probe_share=0.3, min_steps=40)
    state = learned(LearningState.initial(config), checkerboard())
    user = next(f"u{n}" for n in range(40) if is_probe(key(f"u{n}"), config.probe_share))
    history = state.items.rows(state.memory.histories[user]).tolist()
    asked = state.net.encode([history], [state.users.row(user)])
    unknown = state.net.encode([history], [-1])
    assert torch.equal(asked, unknown)
    trained = next(f"u{n}" for n in range(40) if not is_probe(key(f"u{n}"), config.probe_share))
    past = state.items.rows(state.memory.histories[trained]).tolist()
    known = state.net.encode([past], [state.users.row(trained)])
    assert not torch.equal(known, state.net.encode([past], [-1]))


def test_a_user_who_waited_is_learned_when_the_turn_comes() -> None:
    """Held out of one window, trained with the next: the empty row starts like any other."""
    config = configured("mf", probe_share=0.0, holdout_share=0.5)
    first = learn_window(LearningState.initial(config), windows(checkerboard())[0], seed=1, draw=())
    waiting = sorted({sample.user_id for sample in first.state.memory.pending})
    rows = torch.from_numpy(first.state.users.rows(waiting))
    assert waiting
    assert not first.state.net.users.rows[rows].any()
    after = learn_window(first.state, windows(checkerboard())[1], seed=2, draw=()).state
    assert after.net.users.rows[rows].any(dim=1).all()
