"""Test-then-train: how good a model is on what it has not learned yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.continual.scoring import score
from models.continual.state import LearningState
from models.interactions import Event
from models.ranking.metrics import Ranks, means


def prequential(state: LearningState, events: Sequence[Event]) -> dict[str, Any]:
    """Rank the items of a window's positive events before they are learned.

    Each target is ranked in full, from the user's history up to it; an item that the model does
    not know is a miss.

    Returns:
        `recall@K`, `mrr@K`, `ndcg@K`, `n`, and under `popularity` the same of ranking by how often
        items were seen so far. K is the configured `top_k`.
    """
    k = state.config.top_k
    samples = state.memory.histories.samples(events)
    targets = [item for sample in samples for item in sample.item_ids[-sample.num_targets :]]
    return {
        **means(score(state, samples).ranks, k),
        "popularity": means(_popularity_ranks(state, targets), k),
    }


def _popularity_ranks(state: LearningState, targets: Sequence[str]) -> Ranks:
    """Ranks [n] of items by their counts so far, ties against the item."""
    counts = state.counts.numpy()
    rows = state.items.rows(targets)
    ranks = np.full(len(rows), np.inf)
    known = rows >= 0
    ordered = np.sort(counts)
    ranks[known] = len(counts) - np.searchsorted(ordered, counts[rows[known]], side="left")
    return ranks
