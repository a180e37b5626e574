"""What every regularizer promises."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from models.config import ENCODERS, METHODS, LearningConfig
from models.continual.fisher import Fisher
from models.continual.methods import chosen_regularizers, regularizers
from models.continual.regularizer import Regularizer, penalty
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from tests.models.tastes import checkerboard, learned, purity, windows

NAMES = sorted(regularizers())
STRENGTH = {"ewc": "ewc_lambda", "online-ewc": "ewc_lambda", "l2": "l2_lambda"}

each_method = pytest.mark.parametrize("name", NAMES)


def config(name: str, strength: float = 1.0) -> LearningConfig:
    settings = LearningConfig(
        methods=(name,), embedding_dim=8, probe_share=0.0, min_steps=5, fisher_samples=64
    )
    changes: dict[str, Any] = {STRENGTH[name]: strength}
    return dataclasses.replace(settings, **changes)


def parameters(seed: int = 0, items: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "items": torch.randn(items, 3, generator=generator),
        "dense": torch.randn(4, generator=generator),
    }


def some_fisher(scale: float = 1.0) -> Fisher:
    rows, squares = torch.tensor([1, 4]), torch.full((2, 3), 2.0 * scale)
    return Fisher(2, torch.full((4,), 4.0 * scale), {"items": [(rows, squares)]})


def consolidated(name: str) -> tuple[Regularizer, dict[str, Tensor]]:
    start = parameters()
    method = regularizers()[name].initial(config(name)).grown(start)
    return method.consolidate(start, some_fisher()), start


def test_settings_name_the_methods_that_exist() -> None:
    assert set(METHODS) == {*NAMES, "replay"}
    assert list(chosen_regularizers(LearningConfig(methods=("replay", "l2")))) == ["l2"]


@each_method
def test_nothing_pulls_before_anything_is_consolidated(name: str) -> None:
    start, now = parameters(), parameters(1)
    method = regularizers()[name].initial(config(name)).grown(start)
    assert float(penalty(method, now, start)) == 0.0


@each_method
def test_zero_at_the_anchor_and_growing_with_distance(name: str) -> None:
    method, start = consolidated(name)
    near = {key: part + 0.1 for key, part in start.items()}
    far = {key: part + 0.2 for key, part in start.items()}
    assert float(penalty(method, start, start)) == 0.0
    assert float(penalty(method, far, start)) == pytest.approx(
        4.0 * float(penalty(method, near, start)), rel=1e-4
    )


@each_method
def test_pulls_back_to_the_consolidated_weights(name: str) -> None:
    method, start = consolidated(name)
    for key, quadratic in method.pulls(start).items():
        assert torch.equal(quadratic.anchor, start[key])
        assert bool((quadratic.importance >= 0).all())
        assert quadratic.strength * float(quadratic.importance.sum()) > 0


@each_method
def test_new_rows_are_not_held(name: str) -> None:
    method, start = consolidated(name)
    wider = {"items": torch.cat([start["items"], torch.ones(2, 3)]), "dense": start["dense"]}
    moved = {"items": wider["items"].clone(), "dense": wider["dense"]}
    moved["items"][6:] += 5.0
    assert float(penalty(method.grown(wider), moved, wider)) == 0.0


@each_method
def test_growing_makes_a_copy(name: str) -> None:
    method, start = consolidated(name)
    before = {key: part.clone() for key, part in method.state_dict().items()}
    method.grown(start).consolidate(parameters(3), some_fisher(9.0))
    for key, part in method.state_dict().items():
        assert torch.equal(part, before[key])


@each_method
def test_state_goes_out_and_in(name: str) -> None:
    method, start = consolidated(name)
    fresh = regularizers()[name].initial(config(name)).load(method.state_dict())
    now = parameters(5)
    assert torch.equal(penalty(fresh, now, start), penalty(method, now, start))


def test_online_ewc_forgets_by_decay_and_moves_its_anchor() -> None:
    method, _ = consolidated("online-ewc")
    later = parameters(8)
    twice = method.consolidate(later, some_fisher())
    once = method.pulls(later)["dense"].importance
    pull = twice.pulls(later)["dense"]
    torch.testing.assert_close(pull.importance, once * 0.9 + 2.0)
    assert pull.anchor is later["dense"]


def test_ewc_adds_up_terms_with_an_anchor_each() -> None:
    method, first = consolidated("ewc")
    second, now = parameters(8), parameters(9)
    fisher = some_fisher(3.0)
    both = method.consolidate(second, fisher)
    values = now["items"].clone().requires_grad_()
    (found,) = torch.autograd.grad(both.pulls(first)["items"].penalty(values), values)
    zeros = torch.zeros(6, 3)
    expected = some_fisher().add_to("items", zeros.clone()) * (now["items"] - first["items"])
    expected += fisher.add_to("items", zeros.clone()) * (now["items"] - second["items"])
    torch.testing.assert_close(found, expected)


def weights_after(settings: LearningConfig, events: list[Event]) -> dict[str, Tensor]:
    return learned(LearningState.initial(settings), events).net.snapshot()


@each_method
def test_without_strength_it_is_bit_identical_to_no_method(name: str) -> None:
    events = checkerboard()[:300]
    none = dataclasses.replace(config(name), methods=())
    for key, tensor in weights_after(config(name, 0.0), events).items():
        assert torch.equal(tensor, weights_after(none, events)[key])


@each_method
@pytest.mark.parametrize("encoder", ENCODERS)
def test_holds_what_it_learned_the_more_the_stronger(name: str, encoder: str) -> None:
    """After the tastes have flipped, a stronger pull has let the weights move less."""
    moved = []
    for strength in (0.0, 1e2, 1e6):
        settings = dataclasses.replace(config(name, strength), encoder=encoder)
        parent = learned(LearningState.initial(settings), checkerboard())
        child = learn_window(parent, windows(checkerboard(flipped=True))[0], seed=1, draw=())
        before, after = parent.net.snapshot(), child.state.net.snapshot()
        moved.append(float((after["items"] - before["items"]).norm()))
    assert moved[0] > moved[1] > moved[2]
    assert moved[2] < 0.5 * moved[0]


@each_method
def test_order_in_the_list_does_not_matter(name: str) -> None:
    other = "l2" if name != "l2" else "online-ewc"
    settings = dataclasses.replace(config(name), l2_lambda=0.5)
    events = checkerboard()[:300]
    first = weights_after(dataclasses.replace(settings, methods=(name, other)), events)
    second = weights_after(dataclasses.replace(settings, methods=(other, name)), events)
    for key, tensor in first.items():
        torch.testing.assert_close(tensor, second[key], rtol=1e-3, atol=1e-4)


@each_method
def test_learning_goes_on_under_it(name: str) -> None:
    state = learned(
        LearningState.initial(dataclasses.replace(config(name), min_steps=40, embedding_dim=32)),
        checkerboard(),
    )
    assert purity(state, "A") > 0.8
