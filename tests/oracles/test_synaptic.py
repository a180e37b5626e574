"""Synaptic intelligence against its paper, by loops in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.moments import Move, Start
from models.continual.optimizers import RowState, TableOptimizer
from models.continual.quadratic import Quadratic
from models.continual.synaptic import SynapticIntelligence

SHAPES = [(1, 1), (5, 3), (11, 2)]


def begun(weights: dict[str, Tensor], strength: float = 0.5) -> SynapticIntelligence:
    config = LearningConfig(
        methods=("si",), parameters={"si": {"strength": strength, "damping": 0.1}}
    )
    known = {name: len(part) for name, part in weights.items()}
    return SynapticIntelligence.initial(config).begun(Start(weights, known))


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sparse_path_integral_is_that_of_the_whole_table(shape: tuple[int, int]) -> None:
    """Ω = max(−Σ g Δ, 0) / (way² + ξ), added up by hand over steps, rows and columns."""
    rows, dim = shape
    start = {"items": random(rows, dim, seed=1), "dense": random(4, seed=2)}
    method = begun(start)
    now = {name: part.clone() for name, part in start.items()}
    by_hand = {name: torch.zeros_like(part) for name, part in start.items()}
    for step in range(7):
        draw = torch.Generator().manual_seed(step)
        touched = torch.unique(torch.randint(rows, (3,), generator=draw))
        for name, at in (("items", touched), ("dense", None)):
            size = now[name].shape if at is None else (len(at), dim)
            gradient, change = random(*size, seed=10 + step), random(*size, seed=90 + step)
            method.moved(name, Move(at, gradient, change))
            for place in range(size[0]):
                row = place if at is None else int(at[place])
                by_hand[name][row] -= gradient[place] * change[place]
                now[name][row] += change[place]
    after = method.consolidate(now, Fisher())
    for name, work in by_hand.items():
        expected = work.clamp(min=0) / ((now[name] - start[name]) ** 2 + 0.1)
        torch.testing.assert_close(after.importance[name], expected, rtol=1e-12, atol=1e-12)
    assert sum(float(part.max()) for part in after.importance.values()) > 0.0
    again = after.begun(Start(now, {"items": rows, "dense": 4})).consolidate(now, Fisher())
    torch.testing.assert_close(again.importance["items"], after.importance["items"])


def test_the_penalty_is_twice_half_of_c() -> None:
    start = {"items": random(3, 2, seed=1)}
    method = begun(start, strength=0.5)
    method.moved(
        "items", Move(torch.tensor([1]), -torch.ones(1, 2).double(), torch.ones(1, 2).double())
    )
    learned = {"items": start["items"].clone()}
    learned["items"][1] += 1.0
    pull = method.consolidate(learned, Fisher()).pulls(learned)["items"]
    moved = learned["items"].clone()
    moved[1, 0] += 2.0
    importance = 1.0 / (1.0 + 0.1)
    assert float(pull.penalty(moved)) == pytest.approx(0.5 * importance * 4.0)
    moved[0] += 9.0  # never trained: free
    assert float(pull.penalty(moved)) == pytest.approx(0.5 * importance * 4.0)


@pytest.mark.parametrize("rate", [1e-3, 1e-4])
def test_what_it_adds_up_is_the_fall_of_the_loss(rate: float) -> None:
    """For gradient descent on Σ ½ a (θ − t)² the integral is the loss's fall, coordinate by
    coordinate, as the rate goes to 0."""
    curvature, target = (
        torch.tensor([4.0, 1.0, 0.0]).double(),
        torch.tensor([1.0, -2.0, 5.0]).double(),
    )
    theta = torch.zeros(3).double()
    method, before = begun({"dense": theta.clone()}), theta.clone()
    for _ in range(round(1.0 / rate)):
        gradient = curvature * (theta - target)
        change = -rate * gradient
        method.moved("dense", Move(None, gradient, change))
        theta = theta + change
    importance = method.consolidate({"dense": theta}, Fisher()).importance["dense"]
    fall = 0.5 * curvature * ((before - target) ** 2 - (theta - target) ** 2)
    expected = fall / ((theta - before) ** 2 + 0.1)
    torch.testing.assert_close(importance, expected, rtol=10 * rate, atol=1e-12)


def test_a_penalty_on_the_path_is_in_the_steps_and_not_in_the_gradient() -> None:
    """The integral stays the fall of the data's loss; with the penalty's gradient in it, as some
    libraries have it, it would be less by what the penalty rose by."""
    rows, target = torch.zeros(1, 2).double(), torch.tensor([[1.0, -2.0]]).double()
    pull = Quadratic(1.0, torch.tensor([[0.0, 3.0]]).double(), torch.zeros(1, 2).double())
    method, at = begun({"items": rows.clone()}), torch.tensor([0])
    state = RowState(torch.zeros(1).double(), torch.zeros(1).double())
    optimizer = TableOptimizer(rows, state, 4e-3, pull)
    whole = torch.zeros(1, 2).double()
    for _ in range(500):
        before = optimizer.gather(at)
        values, gradient = before.clone(), before - target
        optimizer.step(at, values, gradient)
        method.moved("items", Move(at, gradient, values - before))
        whole -= (gradient + pull.importance * before) * (values - before)
    fall = 0.5 * (target.square() - (rows - target).square())
    rise = 0.5 * pull.importance * rows.square()
    assert float(rise[0, 1]) > 0.1 * float(fall[0, 1])
    importance = method.consolidate({"items": rows}, Fisher()).importance["items"]
    torch.testing.assert_close(importance, fall / (rows.square() + 0.1), rtol=0.03, atol=1e-6)
    torch.testing.assert_close(whole, fall - rise, rtol=0.03, atol=1e-6)
