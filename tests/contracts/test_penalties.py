"""What every method that pulls promises of its penalty."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.method import Method, penalty
from models.continual.methods import method_named
from models.continual.moments import Move, Start
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from models.registry import ENCODERS, METHODS
from tests.models.tastes import checkerboard, learned, purity, windows

NAMES = sorted(name for name in METHODS if method_named(name).pulls is not Method.pulls)

each_method = pytest.mark.parametrize("name", NAMES)


def config(name: str, strength: float = 1.0) -> LearningConfig:
    return LearningConfig(
        methods=(name,),
        parameters={name: {"strength": strength}},
        embedding_dim=8,
        probe_share=0.0,
        min_steps=5,
        fisher_samples=64,
    )


def parameters(seed: int = 0, items: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "items": torch.randn(items, 3, generator=generator),
        "dense": torch.randn(4, generator=generator),
    }


def some_fisher(scale: float = 1.0) -> Fisher:
    rows, squares = torch.tensor([1, 4]), torch.full((2, 3), 2.0 * scale)
    return Fisher(2, torch.full((4,), 4.0 * scale), {"items": [(rows, squares)]})


def begun(method: Method, weights: dict[str, Tensor]) -> Method:
    known = {name: len(part) for name, part in weights.items()}
    return method.begun(Start(weights, known))


def consolidated(name: str) -> tuple[Method, dict[str, Tensor]]:
    """After an update that ended at the weights returned."""
    first, end = parameters(2), parameters()
    method = begun(method_named(name).initial(config(name)), first)
    for key, rows in (("items", torch.arange(6)), ("dense", None)):
        change = end[key] - first[key]
        method.moved(key, Move(rows, -change, change))
    return begun(method.consolidate(end, some_fisher()), end), end


@each_method
def test_nothing_pulls_before_anything_is_consolidated(name: str) -> None:
    start, now = parameters(), parameters(1)
    method = begun(method_named(name).initial(config(name)), start)
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
    assert float(penalty(begun(method, wider), moved, wider)) == 0.0


@each_method
def test_growing_makes_a_copy(name: str) -> None:
    method, start = consolidated(name)
    before = {key: part.clone() for key, part in method.state_dict().items()}
    begun(method, start).consolidate(parameters(3), some_fisher(9.0))
    for key, part in method.state_dict().items():
        assert torch.equal(part, before[key])


@each_method
def test_state_goes_out_and_in(name: str) -> None:
    method, start = consolidated(name)
    fresh = begun(method_named(name).initial(config(name)).load(method.state_dict()), start)
    now = parameters(5)
    assert torch.equal(penalty(fresh, now, start), penalty(method, now, start))


def test_online_ewc_forgets_by_decay_and_moves_its_anchor() -> None:
    method, _ = consolidated("online-ewc")
    later = parameters(8)
    twice = begun(method, later).consolidate(later, some_fisher())
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


def weights_after(settings: LearningConfig, events: list[Event]) -> dict[str, Tensor]:
    return learned(LearningState.initial(settings), events).net.snapshot()


@each_method
def test_order_in_the_list_does_not_matter(name: str) -> None:
    other = "l2" if name != "l2" else "online-ewc"
    strengths = {**config(name).parameters, other: {"strength": 0.5}}
    settings = dataclasses.replace(config(name), parameters=strengths)
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
