"""The loss against PyTorch's own cross entropy, and its estimate against the full sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.objectives import NegativeSampler, softmax_coefficients, softmax_loss


def problem(targets: int, rows: int, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    queries = torch.randn(targets, dim, generator=generator, dtype=torch.float64)
    vectors = torch.randn(rows, dim, generator=generator, dtype=torch.float64)
    wanted = torch.randint(rows, (targets,), generator=generator)
    weights = torch.rand(targets, generator=generator, dtype=torch.float64) + 0.1
    return queries.requires_grad_(), vectors.requires_grad_(), wanted, weights


@pytest.mark.parametrize(("targets", "rows", "dim"), [(1, 2, 1), (5, 7, 3), (13, 29, 4)])
def test_full_softmax_is_weighted_cross_entropy(targets: int, rows: int, dim: int) -> None:
    queries, vectors, wanted, weights = problem(targets, rows, dim)
    everything, zeros = torch.arange(rows), torch.zeros(rows).double()

    loss = softmax_loss(queries, vectors, wanted, everything, zeros, weights)
    found = torch.autograd.grad(loss, [queries, vectors])

    each = F.cross_entropy(queries @ vectors.T, wanted, reduction="none")
    expected = (each * weights).sum() / weights.sum()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(found, torch.autograd.grad(expected, [queries, vectors]))


def test_gradient_with_shifted_candidates_and_accidental_hits() -> None:
    queries, vectors, _, weights = problem(5, 9, 3)
    wanted, candidates = torch.tensor([0, 4, 4, 8, 2]), torch.tensor([1, 2, 4, 7])
    shift = torch.tensor([0.5, -1.0, 0.1, 2.0]).double()

    def plain() -> Tensor:
        lines = []
        for line, target in enumerate(wanted.tolist()):
            others = [place for place in range(4) if int(candidates[place]) != target]
            logits = vectors[candidates[others]] @ queries[line] - shift[others]
            own = queries[line] @ vectors[target]
            lines.append(torch.logsumexp(torch.cat([logits, own[None]]), 0) - own)
        return (torch.stack(lines) * weights).sum() / weights.sum()

    loss = softmax_loss(queries, vectors, wanted, candidates, shift, weights)
    torch.testing.assert_close(loss, plain())
    torch.testing.assert_close(
        torch.autograd.grad(loss, [queries, vectors]),
        torch.autograd.grad(plain(), [queries, vectors]),
    )


def test_coefficients_sum_to_zero_and_are_the_score_gradients() -> None:
    queries, vectors, wanted, _ = problem(5, 9, 3)
    candidates, shift = torch.tensor([0, 3, 5, 6]), torch.zeros(4).double()
    loss, others, own = softmax_coefficients(
        queries.detach(), vectors.detach(), wanted, candidates, shift
    )
    torch.testing.assert_close(others.sum(1) + own, torch.zeros(5).double())
    torch.testing.assert_close(loss, -(own + 1.0).log())


def test_draws_estimate_the_partition_function_without_bias() -> None:
    counts = np.asarray([100.0, 50.0, 10.0, 5.0] + [1.0] * 36)
    scores = torch.randn(40, generator=torch.Generator().manual_seed(1))
    sampler, random = NegativeSampler(counts, 16), np.random.default_rng(2)
    estimates = []
    for _ in range(3_000):
        drawn = sampler.draw(random)
        estimates.append(float((scores[drawn.rows] - drawn.shift).exp().sum()))
    error = float(np.std(estimates)) / 3_000**0.5
    assert abs(float(np.mean(estimates)) - float(scores.exp().sum())) < 4 * error


def test_a_small_catalogue_stands_there_whole() -> None:
    drawn = NegativeSampler(np.ones(7), 7).draw(np.random.default_rng(0))
    assert drawn.rows.tolist() == list(range(7))
    assert not drawn.shift.any()


def test_popular_items_are_drawn_more_often_but_none_never() -> None:
    counts = np.asarray([10_000.0] + [1.0] * 99)
    sampler, random = NegativeSampler(counts, 50), np.random.default_rng(0)
    times = np.zeros(100)
    for _ in range(2_000):
        times[sampler.draw(random).rows.numpy()] += 1
    assert times[0] == times.max()
    assert times.min() > 0
