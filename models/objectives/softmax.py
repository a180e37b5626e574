"""Softmax over shared candidates, the target apart.

Legend: T targets, M candidates, R gathered rows, D embedding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def softmax_loss(
    queries: Tensor,
    vectors: Tensor,
    targets: Tensor,
    candidates: Tensor,
    shift: Tensor,
    weights: Tensor,
) -> Tensor:
    """Weighted mean of −log p(target), p a softmax over the target and all other candidates.

    p(t) = e^{q·v_t} / (e^{q·v_t} + Σ_{j≠t} e^{q·v_j − shift_j}). With the whole catalogue as
    candidates and shift 0 that is the full softmax; with draws and their logQ shift its estimate,
    in which a target among the candidates (an accidental hit) counts once, as the target.

    Args:
        queries: [T, D], normalisation and temperature in.
        vectors: [R, D] of all rows that are named below.
        targets: [T] int64, places in `vectors`.
        candidates: [M] int64, places in `vectors`, each once.
        shift: [M], see `Candidates`.
        weights: [T], not negative, not all 0.

    Returns:
        A scalar, differentiable with respect to `queries` and `vectors`.
    """
    loss: Tensor = _SharedSoftmax.apply(  # type: ignore[no-untyped-call]
        queries, vectors, targets, candidates, shift, weights / weights.sum()
    )
    return loss


def softmax_coefficients(
    queries: Tensor, vectors: Tensor, targets: Tensor, candidates: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of each example and its derivatives with respect to the scores.

    Returns:
        `loss` [T]; `others` [T, M], p of each candidate, 0 where it is the target; `own` [T],
        p(target) − 1.
    """
    exponentials, own, total, loss = _partition(queries, vectors, targets, candidates, shift)
    return loss, exponentials / total[:, None], own / total - 1.0


def _partition(
    queries: Tensor, vectors: Tensor, targets: Tensor, candidates: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Exponentials [T, M] and [T] of candidates and target, their sums [T] and the losses [T]."""
    logits = torch.addmm(-shift, queries, vectors.index_select(0, candidates).T)
    logits = mask_hits(logits, targets, candidates, len(vectors))
    own = (queries * vectors.index_select(0, targets)).sum(1)
    highest = torch.maximum(logits.amax(1), own) if logits.shape[1] else own
    exponentials = logits.sub_(highest[:, None]).exp_()
    own = own - highest
    own_exponential = own.exp()
    total = exponentials.sum(1) + own_exponential
    return exponentials, own_exponential, total, total.log() - own


def mask_hits(logits: Tensor, targets: Tensor, candidates: Tensor, rows: int) -> Tensor:
    """Take the target out of its own negatives, in place: one cell in each line at most."""
    column = candidates.new_full((rows,), -1)
    column[candidates] = torch.arange(len(candidates), device=candidates.device)
    hit = column[targets]
    lines = (hit >= 0).nonzero()[:, 0]
    logits[lines, hit[lines]] = -torch.inf
    return logits


class _SharedSoftmax(torch.autograd.Function):
    """Loss and gradients by hand: three matrix products, the [T, M] matrix written once."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        vectors: Tensor,
        targets: Tensor,
        candidates: Tensor,
        shift: Tensor,
        share: Tensor,
    ) -> Tensor:
        exponentials, own, total, loss = _partition(queries, vectors, targets, candidates, shift)
        scale = share / total
        ctx.save_for_backward(
            queries, vectors, targets, candidates, exponentials, scale, own * scale - share
        )
        return (loss * share).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        queries, vectors, targets, candidates, exponentials, scale, own = ctx.saved_tensors
        to_queries = torch.mm(exponentials, vectors.index_select(0, candidates))
        to_queries *= scale[:, None]
        to_queries.addcmul_(vectors.index_select(0, targets), own[:, None])
        to_vectors = torch.zeros_like(vectors)
        to_vectors.index_add_(0, candidates, torch.mm(exponentials.T, queries * scale[:, None]))
        to_vectors.index_add_(0, targets, queries * own[:, None])
        return to_queries.mul_(grad), to_vectors.mul_(grad), None, None, None, None
