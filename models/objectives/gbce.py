"""Generalised binary cross entropy: each candidate alone is told from the target.

Legend: T targets, M candidates, R gathered rows, D embedding, N items.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.objectives.softmax import mask_hits


def gbce_power(drawn: int, num_items: int, calibration: float) -> float:
    """β, the power of the target's σ: what undoes the confidence that few negatives give.

    With α = M/(N−1) the share of the items that stand against a target,
    β = α(t(1 − 1/α) + 1/α) = 1 − t(1 − α): 1 for t = 0 or the whole catalogue, α for t = 1, where
    σ(score) is the chance of the item.

    Args:
        drawn: M, the candidates that stand there.
        num_items: N.
        calibration: t, 0 … 1.

    Source: Petrov and Macdonald, 2023 (arXiv 2308.07192), β as a function of t.
    """
    share = min(drawn / max(num_items - 1, 1), 1.0)
    return 1.0 - calibration * (1.0 - share)


def gbce_loss(
    queries: Tensor,
    vectors: Tensor,
    targets: Tensor,
    candidates: Tensor,
    weights: Tensor,
    *,
    power: float = 1.0,
    offset: float = 0.0,
) -> Tensor:
    """Weighted mean of −log(σ(s_t)^β Π_{j≠t} (1 − σ(s_j))), s = query · vector − offset.

    Args:
        queries: [T, D], normalisation and temperature in.
        vectors: [R, D] of all rows that are named below.
        targets: [T] int64, places in `vectors`.
        candidates: [M] int64, places in `vectors`, each once, drawn uniformly; a target among them
            is no negative of its own.
        weights: [T], not negative, not all 0.
        power: β, see `gbce_power`; 1 is plain binary cross entropy.
        offset: taken off every score, which changes no order. With log M, what an untrained model
            says of M candidates together weighs about as much as what it says of the target;
            without it the first hundreds of steps do no more than push all scores down.

    Returns:
        A scalar, differentiable with respect to `queries` and `vectors`.

    Source: Petrov and Macdonald, 2023 (arXiv 2308.07192), the loss gBCE. Deviations: negatives are
    shared by the batch; the terms of a target are summed, not averaged, so that a target weighs
    against the penalties what it weighs under the softmax; the offset, after the prior of Lin et
    al., 2017 (arXiv 1708.02002).
    """
    logits = torch.mm(queries, vectors.index_select(0, candidates).T) - offset
    logits = mask_hits(logits, targets, candidates, len(vectors))
    own = (queries * vectors.index_select(0, targets)).sum(1) - offset
    each = F.softplus(logits).sum(1) + power * F.softplus(-own)
    return (each * weights).sum() / weights.sum()
