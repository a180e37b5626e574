"""Quadratic penalties against slow float64 references over whole tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from models.adam import AdamState
from models.continual.optimizers import DenseOptimizer, RowState, TableOptimizer
from models.continual.quadratic import Quadratic, merged, missed_pulls

SHAPES = [(1, 1), (7, 3), (23, 5)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quadratic(rows: int, dim: int, strength: float, seed: int = 1) -> Quadratic:
    return Quadratic(strength, random(rows, dim, seed=seed).square(), random(rows, dim, seed=9))


@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient_are_those_of_the_paper(shape: tuple[int, int]) -> None:
    pull = quadratic(*shape, strength=2.5)
    values = random(*shape, seed=3).requires_grad_()

    penalty = pull.penalty(values)
    (gradient,) = torch.autograd.grad(penalty, values)

    by_hand = sum(
        0.5 * 2.5 * float(f) * (float(v) - float(a)) ** 2
        for f, v, a in zip(
            *(part.detach().flatten() for part in (pull.importance, values, pull.anchor)),
            strict=True,
        )
    )
    assert penalty.item() == pytest.approx(by_hand, rel=1e-12)
    torch.testing.assert_close(gradient, 2.5 * pull.importance * (values - pull.anchor).detach())


def test_penalty_is_zero_and_flat_at_the_anchor() -> None:
    pull = quadratic(7, 3, strength=4.0)
    values = pull.anchor.clone().requires_grad_()
    penalty = pull.penalty(values)
    (gradient,) = torch.autograd.grad(penalty, values)
    assert penalty.item() == 0.0
    assert not gradient.any()


def test_a_sum_of_quadratics_has_the_gradient_of_the_merged_one() -> None:
    first, second = quadratic(7, 3, 2.0), quadratic(7, 3, 0.5, seed=5)
    second = dataclasses.replace(second, anchor=random(7, 3, seed=6))
    values = random(7, 3, seed=7).requires_grad_()

    one = merged([first, second])

    assert one is not None
    (apart,) = torch.autograd.grad(first.penalty(values) + second.penalty(values), values)
    (together,) = torch.autograd.grad(one.penalty(values), values)
    torch.testing.assert_close(together, apart)


def test_nothing_pulls_with_no_strength() -> None:
    assert merged([quadratic(3, 2, 0.0), quadratic(3, 2, 0.0)]) is None


@pytest.mark.parametrize("times", [0, 1, 17])
def test_missed_pulls_equal_as_many_implicit_steps(times: int) -> None:
    distance, stiffness = random(5, 4), random(5, 4, seed=1).square()
    stiffness[0] = 0.0
    expected = distance.clone()
    for _ in range(times):
        expected = expected / (1.0 + stiffness)
    found = distance + missed_pulls(distance, stiffness, torch.tensor(float(times)))
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[0], distance[0])


class DenseReference:
    """Steps on the whole table, every row pulled at every step, element by element."""

    def __init__(self, rows: Tensor, rate: float, pull: Quadratic | None) -> None:
        self.rows = rows.clone()
        self.squares = [0.0] * len(rows)
        self.counts = [0] * len(rows)
        self.rate, self.pull = rate, pull

    def step(self, touched: list[int], gradient: Tensor) -> None:
        for place, row in enumerate(touched):
            self.counts[row] += 1
            share = max(1.0 / self.counts[row], 1e-3)
            fresh = float((gradient[place] ** 2).mean())
            self.squares[row] += (fresh - self.squares[row]) * share
            self.rows[row] -= self.eta(row) * gradient[place]
        if self.pull is None:
            return
        for row in range(len(self.rows)):
            stiffness = self.eta(row) * self.pull.strength * self.pull.importance[row]
            anchor = self.pull.anchor[row]
            self.rows[row] = anchor + (self.rows[row] - anchor) / (1.0 + stiffness)

    def eta(self, row: int) -> float:
        if not self.counts[row]:
            return 0.0
        return self.rate / (math.sqrt(self.squares[row]) + 1e-8)


def run_both(
    pull: Quadratic | None, start: Tensor, *, at_start: bool, rates: Sequence[float] = (1.0,)
) -> tuple[Tensor, Tensor]:
    """The same random steps by the sparse optimizer and by the reference, 30 at each rate."""
    random_rows = np.random.default_rng(4)
    table, reference = start.clone(), DenseReference(start, 0.05, pull)
    state = RowState(torch.zeros(len(table)).double(), torch.zeros(len(table)).double())
    optimizer = TableOptimizer(table, state, 0.05, pull, anchored_at_start=at_start)
    for number in range(30 * len(rates)):
        if number % 30 == 0:
            optimizer.slow_to(rates[number // 30])
            reference.rate = 0.05 * rates[number // 30]
        touched = np.sort(random_rows.choice(len(table) - 1, 3, replace=False))
        gradient = random(3, table.shape[1], seed=100 + number)
        rows = torch.from_numpy(touched)
        optimizer.step(rows, optimizer.gather(rows), gradient)
        reference.step(touched.tolist(), gradient)
    optimizer.finish()
    return table, reference.rows


@pytest.mark.parametrize("strength", [1e-3, 1.0, 1e6])
def test_sparse_steps_equal_dense_steps_over_the_whole_table(strength: float) -> None:
    start = random(23, 5, seed=9)
    pull = Quadratic(strength, random(23, 5, seed=1).square(), start.clone())
    sparse, dense = run_both(pull, start, at_start=True)
    torch.testing.assert_close(sparse, dense, rtol=1e-9, atol=1e-11)
    assert not torch.equal(sparse, start)


def test_pulls_missed_at_one_rate_are_applied_at_that_rate() -> None:
    start = random(23, 5, seed=9)
    pull = Quadratic(1.0, random(23, 5, seed=1).square(), start.clone())
    slowed, dense = run_both(pull, start, at_start=True, rates=(1.0, 0.4, 0.05))
    torch.testing.assert_close(slowed, dense, rtol=1e-9, atol=1e-11)
    steady, _ = run_both(pull, start, at_start=True, rates=(1.0, 1.0, 1.0))
    assert (slowed - steady).norm() > 0.01 * (steady - start).norm()


def test_rows_displaced_before_the_update_feel_old_anchors_although_untouched() -> None:
    start = random(23, 5, seed=9)
    pull = Quadratic(1.0, random(23, 5, seed=1).square(), random(23, 5, seed=2))
    table, reference = start.clone(), DenseReference(start, 0.05, pull)
    seen = torch.ones(23).double()
    optimizer = TableOptimizer(
        table, RowState(seen.clone(), seen.clone()), 0.05, pull, anchored_at_start=False
    )
    reference.squares, reference.counts = [1.0] * 23, [1] * 23
    for number in range(5):
        rows = torch.tensor([number, number + 1])
        gradient = random(2, 5, seed=number)
        optimizer.step(rows, optimizer.gather(rows), gradient)
        reference.step(rows.tolist(), gradient)
    optimizer.finish()
    torch.testing.assert_close(table, reference.rows, rtol=1e-9, atol=1e-11)
    assert not torch.equal(table[20], start[20])


def test_rows_without_importance_or_a_rate_are_not_moved_by_a_falling_rate() -> None:
    """What the catch-up leaves out changes nothing: equal to pulling the whole table throughout."""
    start = random(23, 5, seed=9)
    importance = random(23, 5, seed=1).square()
    importance[::3] = 0.0
    importance[1, 1:] = 0.0
    pull = Quadratic(1.0, importance, random(23, 5, seed=2))
    table, dense = run_both(pull, start, at_start=False, rates=(1.0, 0.4, 0.05))
    torch.testing.assert_close(table, dense, rtol=1e-9, atol=1e-11)
    assert torch.equal(table[22], start[22]), "no gradient has reached it: it has no rate"


def test_at_the_same_rate_nothing_is_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at every row is paid where the rate changes, and at the end."""
    start = random(23, 5, seed=9)
    pull = Quadratic(1.0, random(23, 5, seed=1).square(), random(23, 5, seed=2))
    looks, finish = [], TableOptimizer.finish

    def watched(self: TableOptimizer) -> None:
        looks.append(self)
        finish(self)

    monkeypatch.setattr(TableOptimizer, "finish", watched)
    steady, _ = run_both(pull, start, at_start=False, rates=(1.0, 1.0, 1.0))
    assert len(looks) == 1
    falling, _ = run_both(pull, start, at_start=False, rates=(1.0, 0.5, 0.5))
    assert len(looks) == 3
    assert not torch.equal(steady, falling)


def test_a_penalty_over_touched_rows_alone_would_differ() -> None:
    """The lazy pulls matter: without them the table ends elsewhere."""
    start = random(23, 5, seed=9)
    pull = Quadratic(1.0, random(23, 5, seed=1).square(), start.clone())
    sparse, _ = run_both(pull, start, at_start=True)
    free, _ = run_both(None, start, at_start=True)
    assert (sparse - start).norm() < 0.8 * (free - start).norm()


def test_any_strength_is_stable() -> None:
    start = random(23, 5, seed=9)
    pull = Quadratic(1e12, torch.ones(23, 5).double(), start.clone())
    sparse, _ = run_both(pull, start, at_start=True)
    torch.testing.assert_close(sparse, start, rtol=0, atol=1e-8)


def test_dense_weights_take_adams_step_and_then_the_pull() -> None:
    start, anchor, importance = random(6), random(6, seed=1), random(6, seed=2).square()
    state = AdamState(*(torch.zeros(n).double() for n in (6, 6, 1)))
    optimizer = DenseOptimizer(start.clone(), state, 0.01, Quadratic(3.0, importance, anchor))
    values, mean, square = start.clone(), torch.zeros(6).double(), torch.zeros(6).double()
    for step in range(1, 6):
        gradient = random(6, seed=10 + step)
        optimizer.step(gradient)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        root = (square / (1 - 0.999**step)).sqrt() + 1e-8
        values = values - 0.01 * (mean / (1 - 0.9**step)) / root
        values = anchor + (values - anchor) / (1 + 0.01 / root * 3.0 * importance)
    torch.testing.assert_close(optimizer.values, values, rtol=1e-9, atol=1e-12)


def test_dense_weights_without_a_pull_are_adams() -> None:
    start = random(6)
    ours = DenseOptimizer(
        start.clone(), AdamState(*(torch.zeros(n).double() for n in (6, 6, 1))), 0.01
    )
    theirs = torch.nn.Parameter(start.clone())
    adam = torch.optim.Adam([theirs], lr=0.01)
    for step in range(5):
        if step == 3:
            ours.slow_to(0.3)
            adam.param_groups[0]["lr"] = 0.003
        theirs.grad = random(6, seed=step)
        ours.step(random(6, seed=step))
        adam.step()
    torch.testing.assert_close(ours.values, theirs.detach())
