"""Encoders that grow while they learn: what moves, what stands still, what follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from models.adam import AdamState
from models.config import LearningConfig
from models.continual.expandable import Expandable, Heard
from models.continual.fisher import Fisher
from models.continual.moments import Start
from models.continual.optimizers import DenseOptimizer
from models.continual.session import Session
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from models.nets import Recommender
from models.nets.blocks import Blocks
from tests.models.tastes import checkerboard, event, windows

CONFIG = LearningConfig(
    encoder="gru",
    embedding_dim=8,
    probe_share=0.0,
    epochs=1,
    min_steps=8,
    fisher_samples=16,
    batch_size=16,
    num_negatives=16,
)


def config(*methods: str, **parameters: dict[str, Any]) -> LearningConfig:
    return dataclasses.replace(CONFIG, methods=methods, parameters=parameters)


def states(settings: LearningConfig, windows: Sequence[Sequence[Event]]) -> list[LearningState]:
    """The state after each window."""
    found = [LearningState.initial(settings)]
    for number, window in enumerate(windows):
        found.append(learn_window(found[-1], window, seed=number, draw=()).state)
    return found[1:]


def parts(state: LearningState) -> dict[str, Tensor]:
    return state.net.layout.views(state.net.dense)


def still(before: LearningState, after: LearningState) -> set[str]:
    """Parts of the dense weights that an update has left alone, to the bit."""
    old, new = parts(before), parts(after)
    return {name for name in old if torch.equal(old[name], new[name])}


def block(number: int) -> set[str]:
    return set(Blocks.names("progressive", number))


def test_only_the_newest_block_and_the_rows_learn() -> None:
    """Under a pull, with momentum from before: blocks come by twos, at most two."""
    settings = config(
        "progressive", "l2", progressive={"width": 3, "every": 2, "most": 2}, l2={"strength": 1.0}
    )
    found = states(settings, windows(checkerboard(), 60))
    widths = [[len(units) for units in state.net.blocks.of("progressive")] for state in found]
    assert widths == [[], [], [3], [3], [3, 3], [3, 3], [3, 3], [3, 3]]
    base = set(found[0].net.base_names)
    moved = [set(parts(b)) - still(a, b) for a, b in pairwise(found)]
    free = {"log_temperature"}
    assert moved[0] == {*base, *free}
    assert moved[1] == moved[2] == block(0) | free
    assert moved[3] == moved[4] == moved[5] == moved[6] == block(1) | free
    for before, after in pairwise(found):
        rows = len(before.net.items)
        assert not torch.equal(before.net.items.rows, after.net.items.rows[:rows])


def test_what_any_method_holds_stands_still() -> None:
    """`progressive` holds the encoder and older blocks, `den` half of the encoder: the union."""
    asked: dict[str, dict[str, Any]] = {
        "progressive": {"every": 2, "width": 3},
        "den": {"threshold": -1.0, "units": 2, "prune": 0.0},
    }
    for methods in (["den"], ["progressive", "den"]):
        settings = config(*methods, **{name: asked[name] for name in methods})
        parent = states(settings, windows(checkerboard(), 100)[:4])[-1]
        session = Session(parent, seed=1, device="cpu")
        masks = [method.held(session.net) for method in session.methods.values()]
        held = torch.stack([mask for mask in masks if mask is not None]).any(0)
        after = learn_window(parent, windows(checkerboard(), 100)[4], seed=1, draw=()).state
        assert after.net.layout == session.net.layout
        assert 0 < int(held.sum()) < len(held)
        assert torch.equal(after.net.dense[held], session.start["dense"][held])
        moved = after.net.dense != session.start["dense"]
        assert float(moved[~held].float().mean()) > 0.5


def test_rows_stand_still_where_that_is_asked_for() -> None:
    settings = config("progressive", progressive={"every": 2, "rows": False})
    found = states(settings, windows(checkerboard(), 60)[:4])
    for number, (before, after) in enumerate(pairwise(found)):
        rows = after.net.items.rows[: len(before.net.items)]
        assert torch.equal(before.net.items.rows, rows) == (number > 0)


def test_what_is_remembered_follows_the_layout() -> None:
    """Fisher, anchors, importances and moments of old weights stay theirs when blocks come between
    them and the heads; new weights have 0, and as anchor where they begin."""
    methods = ("progressive", "ewc", "online-ewc", "si", "l2")
    settings = dataclasses.replace(
        config(*methods, progressive={"every": 2, "width": 3}), type_heads=("click",)
    )
    parent = states(settings, windows(checkerboard(), 100)[:2])[-1]
    session = Session(parent, seed=7, device="cpu")
    old, new = parent.net.layout, session.net.layout
    assert new.size > old.size
    assert old.shapes[-1][0] == new.shapes[-1][0] == "log_temperature"
    where = new.among(block(0))
    assert torch.equal(session.start["dense"][~where], parent.net.dense)
    kept = {"mean": session.dense_state.mean, "mean_square": session.dense_state.mean_square}
    before = {"mean": parent.dense_state.mean, "mean_square": parent.dense_state.mean_square}
    for name in ("ewc", "online-ewc", "si"):
        kept[name] = session.methods[name].state_dict()["importance.dense"]
        before[name] = parent.methods[name].state_dict()["importance.dense"]
    kept["l2"] = session.methods["l2"].pulls(session.start)["dense"].importance
    before["l2"] = torch.ones(old.size)
    for name, tensor in kept.items():
        assert before[name].any(), name
        assert torch.equal(tensor[~where], before[name]), name
        assert not tensor[where].any(), name
    anchor = session.methods["ewc"].state_dict()["anchor.dense"]
    pull = session.methods["ewc"].pulls(session.start)["dense"]
    assert not (pull.importance * (session.start["dense"] - pull.anchor))[where].any()
    assert torch.equal(anchor[~where], parent.methods["ewc"].state_dict()["anchor.dense"])


def test_what_is_held_has_not_moved_for_those_who_watch() -> None:
    """`si` is told of no change, so that its importance of the encoder stays as it was."""
    found = states(config("progressive", "si", progressive={"every": 2}), windows(checkerboard()))
    names, layouts = found[1].net.base_names, [state.net.layout for state in found[1:]]
    before, after = (
        layout.views(state.methods["si"].state_dict()["importance.dense"])
        for layout, state in zip(layouts, found[1:], strict=True)
    )
    assert all(torch.equal(before[name], after[name]) for name in names)
    assert after["progressive.0.output"].any()


def test_a_version_that_grew_learns_on_after_export() -> None:
    """Written and read, with the parent beside it, which is still as small as it was."""
    settings = config("progressive", "den", progressive={"every": 1, "width": 2})
    small, large = states(settings, windows(checkerboard())[:2])
    again = LearningState.restore(large.export(), settings)
    follow = windows(checkerboard(flipped=True))[0]
    one, other = (learn_window(state, follow, seed=1, draw=()).state for state in (large, again))
    assert torch.equal(one.net.dense, other.net.dense)
    assert torch.equal(one.dense_state.steps, other.dense_state.steps)
    back = LearningState.restore(small.export(), settings)
    assert (len(back.net.blocks.of("progressive")), len(one.net.blocks.of("progressive"))) == (0, 2)
    redone = learn_window(back, windows(checkerboard())[1], seed=1, draw=()).state
    assert torch.equal(redone.net.dense, large.net.dense)


def test_without_its_method_a_version_keeps_its_blocks_and_learns_them() -> None:
    grown = states(config("progressive", progressive={"every": 1}), windows(checkerboard())[:2])[-1]
    bare = LearningState.restore(grown.export(), config())
    after = learn_window(bare, windows(checkerboard(flipped=True))[0], seed=1, draw=()).state
    assert after.net.blocks == grown.net.blocks
    assert still(bare, after) == set()


def demanding(*losses: float, **parameters: Any) -> Expandable:
    """The method after updates with these losses."""
    method = Expandable.initial(config("den", den=parameters))
    for loss in losses:
        method = method.heard(loss)
    return method


@pytest.mark.parametrize(
    ("losses", "grows"),
    [
        ([9.0], False),
        ([9.0, 2.0], False),
        ([9.0, 2.0, 2.09], False),
        ([9.0, 2.0, 2.11], True),
        ([9.0, 2.0, 3.0, 2.2], False),
        ([9.0, 2.0, 1.0, 1.8], True),
        ([1.0, 2.0], False),
    ],
)
def test_units_come_when_a_loss_lies_above_the_level_of_the_last(
    losses: list[float], grows: bool
) -> None:
    """By more than a twentieth of the mean of what came before; the first is no level."""
    net = Recommender.initial(CONFIG)
    method = demanding(*losses, threshold=0.05, decay=0.5, units=3)
    units = method.resized(net, 1).blocks.of("den")
    assert units == (((0, 1, 2),) if grows else ())
    assert method.begun(Start({}, {})).resized(net, 1) is net, "asked for once"


def test_the_level_is_a_running_mean() -> None:
    heard = Heard()
    for loss in (9.0, 4.0, 5.0, 3.0):
        heard = heard.after(loss, 0.75)
    level = 0.75 * 4.0 + 0.25 * 5.0
    assert heard == Heard(4, 0.75 * level + 0.25 * 3.0, 3.0 / level - 1.0)


def test_a_loss_that_is_no_number_leaves_the_level_as_it_was() -> None:
    heard = Heard()
    for loss in (9.0, 4.0, float("nan"), float("inf")):
        heard = heard.after(loss, 0.75)
    assert heard == Heard(2, 4.0, 0.0)
    assert heard.after(5.0, 0.75).excess == 0.25


def test_units_are_bounded_and_numbered_for_life() -> None:
    net = Recommender.initial(CONFIG)
    method = demanding(9.0, 2.0, 3.0, units=3, most=5, prune=0.5)
    net = method.resized(net, 1)
    output = net.layout.views(net.dense)["den.0.output"]
    output[0], output[2] = 0.4 / 8**0.5, 1.0
    kept = net.layout.views(net.dense)["den.0.input"][2].clone()
    net = method.resized(net, 2)
    assert net.blocks.of("den") == ((2, 3, 4, 5),), "0 and 1 are pruned, three come"
    assert torch.equal(net.layout.views(net.dense)["den.0.input"][0], kept)
    net.layout.views(net.dense)["den.0.output"].fill_(1.0)
    net = method.resized(net, 3)
    assert net.blocks.of("den") == ((2, 3, 4, 5, 6),), "five are the most"
    net.layout.views(net.dense)["den.0.output"].zero_()
    assert demanding(prune=0.5).resized(net, 4).blocks == Blocks(), "the last are gone"


def test_of_the_encoder_what_the_last_window_pulled_on_learns() -> None:
    net = Recommender.initial(CONFIG).with_blocks(Blocks({"den": ((0, 1),)}), 1)
    pulled = torch.rand(net.layout.size, generator=torch.Generator().manual_seed(2))
    begun = demanding(selected=0.25).consolidate({"dense": net.dense}, Fisher(4, 4.0 * pulled))
    held = begun.held(net)
    assert held is not None
    encoder = net.layout.among(net.base_names)
    assert not held[~encoder].any()
    assert int(held.sum()) == round(0.75 * int(encoder.sum()))
    assert float(pulled[held].max()) < float(pulled[encoder & ~held].min())
    assert demanding(selected=0.25).held(net) is None


def test_a_change_of_tastes_grows_units_and_a_steady_stream_does_not() -> None:
    """On a learner: the loss of the flipped window is heard, and the next window has units."""
    settings = dataclasses.replace(config("den", den={"decay": 0.0}), min_steps=20)
    steady = windows(checkerboard(), 240) * 3
    flipped = windows(checkerboard(flipped=True, first=5_000), 240)
    *calm, before, after = states(settings, [*steady, *flipped])
    assert not any(state.net.blocks for state in [*calm, before])
    assert after.net.blocks.of("den") == (tuple(range(8)),)
    assert parts(after)["den.0.output"].any()


def fitted(needed: bool) -> Tensor:
    """Outgoing norms [U] of units on h that learn h, or h and a bend of it, under the penalty."""
    generator = torch.Generator().manual_seed(5)
    dim, blocks = 4, Blocks({"den": (tuple(range(6)),)})
    layout = blocks.layout(dim)
    flat = blocks.initial(dim, 3)
    method = demanding(sparsity=0.3)
    net = Recommender.initial(dataclasses.replace(CONFIG, embedding_dim=dim)).with_blocks(blocks, 3)
    penalty = method.sparse(net)
    assert penalty is not None
    offset = sum(p.numel() for n, p in net.layout.views(net.dense).items() if n in net.base_names)
    penalty = dataclasses.replace(penalty, members=penalty.members - offset)
    optimizer = DenseOptimizer(flat, AdamState.empty(layout.size), 0.01, None, [penalty])
    bend = torch.randn(2, dim, generator=generator)
    for _ in range(600):
        latest, hidden = torch.randn(2, 64, dim, generator=generator)
        target = hidden + 0.5 * torch.randn(64, dim, generator=generator)
        if needed:
            target = target + 2.0 * (hidden @ bend[0]).relu()[:, None] * bend[1]
        leaf = flat.clone().requires_grad_()
        error = (blocks(latest, hidden, layout.views(leaf)) - target).square().mean()
        optimizer.step(torch.autograd.grad(error, leaf)[0])
    norms: Tensor = layout.views(flat)["den.0.output"].norm(dim=1)
    return norms


def test_units_that_are_needed_stay_and_others_fade() -> None:
    """The same noise, step and penalty; a bend of h that only a unit can make, or none."""
    prune = demanding().parameters.prune
    assert (fitted(needed=False) <= prune).all()
    assert int((fitted(needed=True) > 10 * prune).sum()) >= 1


def test_a_learner_prunes_what_has_faded() -> None:
    settings = config("den", den={"sparsity": 1e3, "units": 4, "threshold": 0.0, "decay": 0.0})
    parent = states(settings, windows(checkerboard(), 100)[:3])[-1]
    asked = dataclasses.replace(
        parent, methods={"den": demanding(9.0, 1.0, 2.0, sparsity=1e3, units=4)}
    )
    once, calm = asked, windows([event(f"u{n % 9}", f"A{n % 5}", 9_000 + n) for n in range(200)])
    grown = learn_window(once, calm[0][:100], seed=1, draw=()).state
    assert len(grown.net.blocks.of("den")[0]) == 4
    assert not parts(grown)["den.0.output"].any(), "λ is far above what any gradient brings"
    quiet = dataclasses.replace(grown, methods={"den": demanding(sparsity=1e3)})
    assert not learn_window(quiet, calm[0][100:], seed=2, draw=()).state.net.blocks
