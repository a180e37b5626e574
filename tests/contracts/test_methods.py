"""What every method against forgetting promises, with every encoder that it declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from models.continual.methods import method_named
from models.continual.state import LearningState
from models.continual.stopping import Stopping
from models.continual.update import update
from models.continual.window import learn_window
from models.registry import ENCODERS, METHODS, encoders_of
from tests.contracts.methods import (
    HEADS,
    OFF,
    ON,
    before,
    config,
    different,
    drawn,
    each_method,
    grown_up,
    nothing,
    second_window,
    weights,
    window,
)
from tests.models.devices import each_device
from tests.models.tastes import purity, windows

PAIRS = [(name, encoder) for name in METHODS for encoder in sorted(method_named(name).encoders)]
each_pair = pytest.mark.parametrize(("name", "encoder"), PAIRS)


@each_method
def test_it_declares_the_encoders_that_it_works_with(name: str) -> None:
    kind = method_named(name)
    assert kind.name == name
    assert kind.encoders
    assert kind.encoders <= set(ENCODERS)
    assert kind.encoders == encoders_of(name), "what settings are checked by"


@each_pair
def test_it_makes_a_difference(name: str, encoder: str) -> None:
    """The same update from the same weights, with it and without."""
    settings = config(name, encoder, **ON.get(name, {}))
    parent = grown_up(settings)
    bare = dataclasses.replace(
        parent, config=dataclasses.replace(settings, methods=(), parameters={}), methods={}
    )
    with_it, without = second_window(settings, parent), second_window(settings, bare)
    assert different(weights(with_it), weights(without))


@each_pair
def test_switched_off_it_is_bit_identical_to_no_method(name: str, encoder: str) -> None:
    none = dataclasses.replace(config(None, encoder), type_heads=HEADS.get(name, ()))
    off = config(name, encoder, **OFF.get(name, {}))
    draw = drawn() if name in OFF else []
    parents = [grown_up(settings) for settings in (off, none)]
    found, expected = (learn_window(parent, window(), seed=1, draw=draw) for parent in parents)
    assert not different(weights(found), weights(expected))


@each_pair
def test_its_state_goes_out_and_in_to_the_bit(name: str, encoder: str) -> None:
    """A version written and read learns on as one that stayed in memory."""
    settings = config(name, encoder, **ON.get(name, {}))
    parent = grown_up(settings)
    again = LearningState.restore(parent.export(), settings)
    first, second = second_window(settings, parent), second_window(settings, again)
    assert not different(weights(first), weights(second))
    for key, tensor in first.state.methods[name].state_dict().items():
        assert torch.equal(tensor, second.state.methods[name].state_dict()[key])


@each_pair
def test_an_update_leaves_the_parent_as_it_was(name: str, encoder: str) -> None:
    settings = config(name, encoder, **ON.get(name, {}))
    parent = grown_up(settings)
    kept = {key: part.clone() for key, part in parent.methods[name].state_dict().items()}
    rows = parent.net.items.rows.clone()
    second_window(settings, parent)
    assert torch.equal(parent.net.items.rows, rows)
    for key, part in parent.methods[name].state_dict().items():
        assert torch.equal(part, kept[key])


@each_pair
def test_stopped_early_it_is_as_if_it_had_been_asked_for_so_many_passes(
    name: str, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, in all that a version remembers: what it gathers on its way goes back, too."""
    settings = config(name, encoder, **ON.get(name, {}))
    parent, new = grown_up(settings), drawn(flipped=True)
    patient = dataclasses.replace(settings, patience=2, epochs=6, min_steps=0, batch_size=16)
    losses = iter((2.0, 1.0, 4.0, 3.0))
    monkeypatch.setattr(Stopping, "loss", lambda self: next(losses))
    stopped, report = update(
        dataclasses.replace(parent, config=patient), new, drawn(), seed=1, held_out=drawn()[:1]
    )
    assert (report.passes, report.kept_pass, report.stopped_early) == (4, 2, True)
    short = dataclasses.replace(patient, patience=0, epochs=2)
    asked, _ = update(dataclasses.replace(parent, config=short), new, drawn(), seed=1)
    found, expected = (state.export().tensors for state in (stopped, asked))
    for part in expected:
        assert not different(found[part], expected[part])


@each_method
def test_a_window_with_nothing_to_learn_is_no_update(name: str) -> None:
    """However many come: the encoder grows in none, and learning goes on as if none had been."""
    encoder = min(method_named(name).encoders)
    settings = config(name, encoder, **ON.get(name, {}))
    parent, empty = grown_up(settings), grown_up(settings)
    for number in range(3):
        empty = learn_window(empty, nothing(), seed=number, draw=()).state
        assert empty.net.layout == parent.net.layout
    found, expected = (second_window(settings, state) for state in (empty, parent))
    assert not different(weights(found), weights(expected))
    tensors = found.state.methods[name].state_dict()
    assert not different(tensors, expected.state.methods[name].state_dict())


def tensors(thing: Any) -> Iterator[Tensor]:
    """All that a method holds, in whatever it holds them."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, Mapping):
        yield from tensors(list(thing.values()))
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from tensors(part)
    elif type(thing).__module__.startswith("models."):
        names = getattr(thing, "__slots__", None) or vars(thing)
        yield from tensors([getattr(thing, name) for name in names])


@each_method
@each_device
def test_it_learns_anywhere_and_leaves_nothing_there(name: str, device: str) -> None:
    """Beside others that hold weights still and grow; the version lies on the CPU."""
    names = tuple(dict.fromkeys((name, "fine-tuning", "progressive", "den")))
    settings = dataclasses.replace(
        config(name, **ON.get(name, {})),
        methods=names,
        parameters={name: ON.get(name, {}) for name in names},
    )
    state = LearningState.initial(settings)
    for number, events in enumerate((*windows(before())[:2], nothing(), window())):
        state = learn_window(state, events, seed=number, draw=(), device=device).state
    assert state.net.blocks.of("progressive")
    kept = [*state.export().tensors.values(), state.methods]
    assert {tensor.device.type for tensor in tensors(kept)} == {"cpu"}
    assert all(bool(part.isfinite().all()) for part in tensors(kept) if part.is_floating_point())


@each_method
def test_learning_goes_on_under_it(name: str) -> None:
    encoder = min(method_named(name).encoders)
    settings = dataclasses.replace(config(name, encoder), min_steps=80, embedding_dim=32)
    state = grown_up(settings)
    assert purity(state, "A") > 0.7, "a half is chance"


"""In the order in which `Method` lists them."""
"""Not called in an update."""
