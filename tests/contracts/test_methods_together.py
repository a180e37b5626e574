"""Methods beside each other: in one update, in any order, hook by hook."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from models.continual.method import Method
from models.continual.methods import chosen_methods
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.registry import ENCODERS, METHODS, methods_with
from tests.contracts.methods import (
    ON,
    before,
    config,
    different,
    grown_up,
    nothing,
    second_window,
    weights,
    window,
)
from tests.models.tastes import learned


@pytest.mark.parametrize("grows", ["progressive", "den", "adapters"])
def test_l2_follows_an_encoder_that_grows_after_a_window_with_nothing_to_learn(grows: str) -> None:
    """It holds what was consolidated and leaves what was born free, as it does without one."""
    asked = {"l2": {"strength": 10.0}, grows: ON[grows]}
    settings = dataclasses.replace(config("l2"), methods=("l2", grows), parameters=asked)
    parent = grown_up(settings)
    assert second_window(settings, parent).state.net.layout != parent.net.layout, "it grows"
    empty = learn_window(parent, nothing(), seed=1, draw=()).state
    found, expected = (second_window(settings, state) for state in (empty, parent))
    assert not different(weights(found), weights(expected))


def test_methods_stand_together_in_any_order() -> None:
    """All of them at once, after a window with nothing to learn: an update comes out the same to
    rounding."""
    names = list(METHODS)
    states = []
    for order in (names, names[::-1]):
        settings = dataclasses.replace(
            config(None), methods=tuple(order), type_heads=("click", "purchase")
        )
        assert list(chosen_methods(settings)) == order
        parent = learned(LearningState.initial(settings), before()[:300])
        parent = learn_window(parent, nothing(), seed=2, draw=()).state
        states.append(weights(second_window(settings, parent)))
    for key, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][key], rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_before_anything_is_consolidated_none_does_anything(encoder: str) -> None:
    """To the bit: versions that differ in methods alone share their first update."""
    none = dataclasses.replace(config(None, encoder), type_heads=("click", "purchase"))
    all_of_them = dataclasses.replace(none, methods=methods_with(encoder))
    found, expected = (
        learn_window(LearningState.initial(settings), window(), seed=1, draw=())
        for settings in (all_of_them, none)
    )
    assert not different(weights(found), weights(expected))


HOOKS = [name for name, part in vars(Method).items() if inspect.isfunction(part)]


ASIDE = {"state_dict", "load"}


def test_an_update_calls_the_hooks_in_the_order_of_the_class_and_of_the_texts() -> None:
    called: list[str] = []

    class Diary(Method):
        name = "diary"
        watches_moves = True

    def noting(hook: str) -> Any:
        def note(self: Method, *given: Any, **named: Any) -> Any:
            called.append(hook)
            return getattr(Method, hook)(self, *given, **named)

        return note

    hooks = [hook for hook in HOOKS if hook not in ASIDE]
    for hook in hooks:
        setattr(Diary, hook, noting(hook))
    settings = dataclasses.replace(config(None), patience=1, epochs=2)
    parent = dataclasses.replace(grown_up(settings), methods={"diary": Diary()})
    second_window(settings, parent)

    assert list(dict.fromkeys(called)) == hooks
    table = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text()
    assert re.findall(r"^\| `(\w+)`: ", table, re.MULTILINE) == hooks
