"""Several models answering as one, by one inner product.

Legend: K models, B queries, N items, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def joined_vectors(models: Sequence[Tensor]) -> Tensor:
    """Vectors of items under the mean of K models' scores, for queries laid side by side.

    The score of an item that all models know is the mean of its scores. A model that does not know
    an item stands it at its own average item plus what the others see in it: with n models k that
    know item i, m_k the mean vector of model k over the items that all know,

        score_i = 1/K Σ_k q_k·m_k + 1/n Σ_{k knows i} q_k·(v_ki − m_k).

    So a model whose scores are higher or lower throughout gives an item no advantage by knowing
    it or not, and the whole stays linear in the queries.

    Args:
        models: of each the item vectors [N_k, D_k]; the first rows of all are the same items, a
            line that is not finite is an item that the model does not know.

    Returns:
        [max N_k, Σ D_k], to be searched with `torch.cat([q_1, …, q_K], 1)`; NaN where no model
        knows the item. Of one model its own vectors, to the bit.

    Raises:
        ValueError: no model.
    """
    if not models:
        raise ValueError("models: at least one must be given")
    size = max(len(vectors) for vectors in models)
    padded = [_padded(vectors, size) for vectors in models]
    knows = torch.stack([vectors.isfinite().all(1) for vectors in padded])
    knowing = knows.sum(0)
    shared = knowing == len(models)
    weights = knows * (len(models) / knowing.clamp(min=1))
    parts = []
    for vectors, weight in zip(padded, weights, strict=True):
        mean = vectors[shared].mean(0).nan_to_num()
        # the ends of a `lerp` are exact: the vector itself at 1, the mean at 0
        known = vectors.nan_to_num()
        parts.append(torch.lerp(mean, known, weight.to(known)[:, None]))
    joined = torch.cat(parts, 1) / len(models)
    joined[knowing == 0] = torch.nan
    return joined


def _padded(vectors: Tensor, size: int) -> Tensor:
    missing = vectors.new_full((size - len(vectors), vectors.shape[1]), torch.nan)
    return torch.cat([vectors, missing])
