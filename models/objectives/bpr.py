"""Bayesian personalised ranking: what a user took against what the same user passed over.

Legend: T targets, K skipped items of each, R gathered rows, D embedding.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bpr_loss(
    queries: Tensor, vectors: Tensor, targets: Tensor, skipped: Tensor, weights: Tensor
) -> Tensor:
    """Σ_t w_t Σ_k −log σ(q_t·v_t − q_t·v_k) / Σ_t w_t: each target above each item skipped.

    Args:
        queries: [T, D], normalisation and temperature in.
        vectors: [R, D] of all rows that are named below.
        targets: [T] int64, places in `vectors`.
        skipped: [T, K] int64, places in `vectors`, −1 for none; a target among them is not held
            against itself.
        weights: [T], not negative, not all 0.

    Returns:
        A scalar, differentiable with respect to `queries` and `vectors`; 0 where nothing was
        skipped.

    Source: Rendle et al., 2009 (arXiv 1205.2618), the criterion BPR-Opt. Deviations: what stands
    against a target was passed over by its user, not drawn from what the user never met; the
    regularisation is the methods' affair; the sum goes with the loss it is added to, per weight of
    target, so that a target without a skip has none of it.
    """
    line, place = ((skipped >= 0) & (skipped != targets[:, None])).nonzero(as_tuple=True)
    taken = vectors.index_select(0, targets[line])
    passed_over = vectors.index_select(0, skipped[line, place])
    margins = (queries.index_select(0, line) * (taken - passed_over)).sum(1)
    return (F.softplus(-margins) * weights[line]).sum() / weights.sum()
