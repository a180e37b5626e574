"""The dense step: weights that are held, weights that are born late, groups that become 0."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.adam import AdamState
from models.continual.optimizers import DenseOptimizer
from models.continual.quadratic import Quadratic
from models.continual.sparsity import GroupLasso
from models.parameters import Layout

SIZE, RATE = 12, 0.05


def noise(seed: int, size: int = SIZE) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def stepped(
    values: Tensor, state: AdamState, gradients: list[Tensor], held: Tensor | None = None
) -> Tensor:
    pull = Quadratic(3.0, torch.ones(len(values)), torch.zeros(len(values)))
    groups = [GroupLasso(0.5, torch.arange(len(values)).view(-1, 2))]
    optimizer = DenseOptimizer(values, state, RATE, pull, groups, held)
    for gradient in gradients:
        optimizer.step(gradient)
    return values


def test_nothing_moves_what_is_held_to_the_bit() -> None:
    """Momentum from before, gradients, a pull and a sparse penalty; what is free does not notice
    that others are held."""
    state = AdamState.empty(SIZE).apart()
    values = stepped(noise(0), state, [noise(n) for n in range(1, 5)])
    held = torch.arange(SIZE) % 4 < 2
    free = AdamState.load({k: v.clone() for k, v in state.state_dict().items()})
    gradients = [noise(n) for n in range(5, 9)]
    kept = [part.clone() for part in (values, *state.state_dict().values())]
    expected = stepped(values.clone(), free, gradients)
    stepped(values, state, gradients, held)
    for part, before, other in zip(
        (values, *state.state_dict().values()),
        kept,
        (expected, *free.state_dict().values()),
        strict=True,
    ):
        assert torch.equal(part[held], before[held])
        assert not torch.equal(part[~held], before[~held])
        assert torch.equal(part[~held], other[~held])


@pytest.mark.parametrize("before", [0, 3])
def test_weights_that_thaw_step_as_if_the_pause_had_not_been(before: int) -> None:
    """With moments that are still 0, or that stood still: they go on where they left, by the count
    of their own steps."""
    held = torch.arange(SIZE) % 4 < 2
    state, alone = AdamState.empty(SIZE).apart(), AdamState.empty(SIZE)
    values, free = noise(0), noise(0)
    gradients = [noise(n) for n in range(1, 10)]
    for optimizer in (DenseOptimizer(values, state, RATE), DenseOptimizer(free, alone, RATE)):
        for gradient in gradients[:before]:
            optimizer.step(gradient)
    paused = DenseOptimizer(values, state, RATE, held=held)
    for _ in range(20):
        paused.step(noise(99))
    for optimizer in (DenseOptimizer(values, state, RATE), DenseOptimizer(free, alone, RATE)):
        for gradient in gradients[before:]:
            optimizer.step(gradient)
    torch.testing.assert_close(values[held], free[held], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="held: weights that stand still need a count"):
        DenseOptimizer(values, alone, RATE, held=held)


def test_weights_that_are_born_late_step_as_if_they_were_first() -> None:
    """Their moments begin at 0, and so does their count of steps; the others go on."""
    before = Layout((("old", (4,)), ("end", (2,))))
    after = Layout((("old", (4,)), ("new", (3,)), ("end", (2,))))
    old, fresh = torch.zeros(6), torch.zeros(3)
    state, alone = AdamState.empty(6), AdamState.empty(3)
    first, later = [noise(n, 6) for n in range(5)], [noise(n, 9) for n in range(9, 14)]
    plain = DenseOptimizer(old, state, RATE)
    for gradient in first:
        plain.step(gradient)
    values, grown = before.carried(old, after), state.aligned(before, after)
    wider, single = DenseOptimizer(values, grown, RATE), DenseOptimizer(fresh, alone, RATE)
    for gradient in later:
        parts = after.views(gradient)
        plain.step(torch.cat([parts["old"], parts["end"]]))
        single.step(parts["new"])
        wider.step(gradient)
    torch.testing.assert_close(after.views(values)["new"], fresh, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(after.carried(values, before), old, rtol=1e-5, atol=1e-7)
    assert grown.steps.tolist() == [10.0] * 4 + [5.0] * 3 + [10.0] * 2
    assert state.aligned(before, before).steps.tolist() == [10.0]


@pytest.mark.parametrize("strength", [0.0, 0.4, 2.0, 50.0])
def test_the_sparse_step_is_the_proximal_operator(strength: float) -> None:
    """x minimises ½‖x − v‖² + η λ √n ‖x‖ for each group, and what is in none stays."""
    values = noise(3).double()
    members = torch.tensor([[0, 5, 7], [2, 3, 11]])
    before, penalty = values.clone(), GroupLasso(strength, members)
    penalty.step(values, RATE * 10)
    for group in members:
        old, new = before[group], values[group]
        limit = RATE * 10 * strength * 3**0.5
        if float(old.norm()) <= limit:
            assert not new.any()
        else:
            gradient = new - old + limit * new / new.norm()
            assert float(gradient.abs().max()) < 1e-12
    outside = [n for n in range(SIZE) if n not in members]
    assert torch.equal(values[outside], before[outside])
    roots = sum(float(before[group].norm()) for group in members) * 3**0.5
    assert float(penalty.penalty(before)) == pytest.approx(strength * roots)
