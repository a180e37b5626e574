"""Ranking metrics with one relevant item per query, from the rank of that item.

Ranks count from 1; infinity stands for an item that was not ranked at all. Source of the
definitions: Järvelin and Kekäläinen, 2002 (nDCG); Voorhees, 1999 (reciprocal rank). Each is 0
beyond K.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

Ranks = npt.NDArray[np.float64]

_SCORES_AT_ONCE = 8_000_000


def recall(ranks: Ranks, k: int) -> Ranks:
    """1 where the item is among the best K, [n]."""
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: Ranks, k: int) -> Ranks:
    """1 / log₂(1 + rank) within K, [n]; the ideal is 1, since one item is relevant."""
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)


def mrr(ranks: Ranks, k: int) -> Ranks:
    """1 / rank within K, [n]."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


def means(ranks: Ranks, k: int, *, of_none: float = 0.0) -> dict[str, float]:
    """All three at K, averaged over queries, and how many there were; `of_none` without any."""
    if not len(ranks):
        return {f"recall@{k}": of_none, f"mrr@{k}": of_none, f"ndcg@{k}": of_none, "n": 0}
    return {
        f"recall@{k}": float(recall(ranks, k).mean()),
        f"mrr@{k}": float(mrr(ranks, k).mean()),
        f"ndcg@{k}": float(ndcg(ranks, k).mean()),
        "n": len(ranks),
    }


def target_ranks(queries: Tensor, vectors: Tensor, targets: Tensor) -> Ranks:
    """The rank of each query's target among all items, ties counted against it.

    Args:
        queries: [B, D].
        vectors: [N, D].
        targets: [B] int64; a negative one is ranked nowhere.

    Returns:
        [B] float64, infinity for a negative target and where the target's score is no number.
    """
    ranks = np.full(len(targets), np.inf)
    step = max(1, _SCORES_AT_ONCE // max(1, len(vectors)))
    for first in range(0, len(targets), step):
        wanted = targets[first : first + step]
        scores = queries[first : first + step] @ vectors.T
        known = wanted >= 0
        if bool(known.any()):
            own = scores[known].gather(1, wanted[known][:, None])
            better = (scores[known] >= own).sum(1)
            found = better.cpu().numpy().astype(np.float64)
            found[found == 0] = np.inf  # not even equal to itself: no number
            ranks[first : first + step][known.cpu().numpy()] = found
    return ranks
