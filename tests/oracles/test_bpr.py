"""The loss against what was skipped: by slow loops in float64, in closed form, its direction."""

from __future__ import annotations

import math

import pytest
import torch

from models.objectives import bpr_loss


def test_by_slow_loops() -> None:
    generator = torch.Generator().manual_seed(4)
    queries, vectors = (torch.randn(n, 3, generator=generator).double() for n in (5, 7))
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0, 3.0]).double()
    targets = torch.tensor([0, 1, 2, 2, 6])
    skipped = torch.tensor([[3, -1], [-1, -1], [4, 5], [2, 3], [0, 6]])
    total = 0.0
    for t, line in enumerate(skipped.tolist()):
        for k in line:
            if k < 0 or k == int(targets[t]):
                continue
            margin = float(queries[t] @ vectors[targets[t]]) - float(queries[t] @ vectors[k])
            total -= float(weights[t]) * math.log(1.0 / (1.0 + math.exp(-margin)))
    found = bpr_loss(queries, vectors, targets, skipped, weights)
    assert float(found) == pytest.approx(total / float(weights.sum()), rel=1e-12)


def test_equal_scores_cost_log_two_a_pair_and_nothing_skipped_costs_nothing() -> None:
    queries, vectors, weights = torch.ones(2, 1), torch.ones(4, 1), torch.ones(2)
    targets = torch.tensor([0, 1])
    both = bpr_loss(queries, vectors, targets, torch.tensor([[2, 3], [-1, -1]]), weights)
    assert float(both) == pytest.approx(math.log(2.0))
    assert float(bpr_loss(queries, vectors, targets, torch.full((2, 1), -1), weights)) == 0.0
    assert float(bpr_loss(queries, vectors, targets, targets[:, None], weights)) == 0.0


def test_what_was_skipped_goes_down_and_what_was_taken_up() -> None:
    queries = torch.tensor([[1.0, 0.0]])
    vectors = torch.tensor([[0.2, 0.5], [0.6, 0.1], [0.3, 0.3]]).requires_grad_()
    loss = bpr_loss(queries, vectors, torch.tensor([0]), torch.tensor([[1]]), torch.ones(1))
    (gradient,) = torch.autograd.grad(loss, [vectors])
    share = 1.0 / (1.0 + math.exp(0.2 - 0.6))  # σ of how far the skipped one is above
    assert gradient[0].tolist() == pytest.approx([-share, 0.0])
    assert gradient[1].tolist() == pytest.approx([share, 0.0])
    assert not gradient[2].any()
