"""What an arm answers with, and the rank of a target in it.

The rank of a target is one plus the number of items that score higher plus half the number of
others that score the same: what a random order of equals gives on average, never the best case.
An item that the answer does not cover ranks at infinity: a miss at every K.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TARGET_BLOCK = 256
"""Targets whose rows of scores are compared at once."""


class Scores(Protocol):
    """The scores of all items for B questions."""

    def ranks(self, rows: Ints, targets: Ints) -> Floats:
        """The rank [T] of item `targets` [T] in the answer to question `rows` [T]."""
        ...

    def limited(self, num_items: int) -> Scores:
        """The same answer over the first `num_items` item rows, as if there were no others."""
        ...


class SharedScores:
    """One score per item, whoever asks.

    Args:
        scores: [N].
    """

    def __init__(self, scores: npt.ArrayLike) -> None:
        self.scores = np.asarray(scores, dtype=np.float64)
        ascending = np.sort(self.scores)
        higher = len(ascending) - np.searchsorted(ascending, self.scores, side="right")
        equal = len(ascending) - higher - np.searchsorted(ascending, self.scores, side="left")
        self._higher = higher.astype(np.float64)
        self._equal = equal.astype(np.float64)
        self._limited: SharedScores | None = None  # the last one asked for; it is sorted again

    def ranks(self, rows: Ints, targets: Ints) -> Floats:
        ranks = np.full(len(targets), np.inf)
        covered = targets < len(self.scores)
        chosen = targets[covered]
        ranks[covered] = self._higher[chosen] + (self._equal[chosen] + 1.0) / 2.0
        return ranks

    def limited(self, num_items: int) -> SharedScores:
        if num_items >= len(self.scores):
            return self
        if self._limited is None or len(self._limited.scores) != num_items:
            self._limited = SharedScores(self.scores[:num_items])
        return self._limited

    def above(self, items: Ints, others: Ints) -> Floats:
        """1 where `items` stand above `others`, ½ where they are equal, 0 below."""
        mine, theirs = self.scores[items], self.scores[others]
        return np.asarray((mine > theirs) + 0.5 * (mine == theirs), dtype=np.float64)


class SparseScores:
    """Few scored items per question; equals and all the rest are ordered by `rest`.

    Args:
        items: scored item rows [M], each at most once in a question.
        offsets: [B+1]: the scored items of question b lie in `offsets[b]` … `offsets[b+1]`.
        values: [M], above zero; zeros count as not scored.
        rest: the order of items that a question does not score, and among equals.
    """

    def __init__(self, items: Ints, offsets: Ints, values: Floats, rest: SharedScores) -> None:
        self.items = items.astype(np.int64)
        self.offsets = offsets.astype(np.int64)
        self.values = values.astype(np.float64)
        self.rest = rest

    def limited(self, num_items: int) -> SparseScores:
        kept = self.items < num_items
        before = np.concatenate(([0], np.cumsum(kept)))
        return SparseScores(
            self.items[kept],
            before[self.offsets],
            self.values[kept],
            self.rest.limited(num_items),
        )

    def ranks(self, rows: Ints, targets: Ints) -> Floats:
        ranks = self.rest.ranks(rows, targets)
        covered = np.flatnonzero(np.isfinite(ranks))
        rows, targets = rows[covered], targets[covered]
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        begin = np.cumsum(lengths) - lengths
        place = np.arange(len(owner)) + np.repeat(self.offsets[rows] - begin, lengths)
        scored = self.values[place] > 0
        place, owner = place[scored], owner[scored]
        items, values = self.items[place], self.values[place]
        own = np.zeros(len(rows))
        mine = items == targets[owner]
        own[owner[mine]] = values[mine]

        def count(weights: npt.NDArray[np.generic]) -> Floats:
            counted = np.bincount(owner, weights=weights, minlength=len(rows))
            return np.asarray(counted, dtype=np.float64)

        above = self.rest.above(items, targets[owner])
        above[mine] = 0.0
        better = count((values > own[owner]) + (values == own[owner]) * above)
        # an unscored target stands behind every scored item, and keeps its place among the rest
        unscored = ranks[covered] + better - count(above)
        ranks[covered] = np.where(own > 0, 1.0 + better, unscored)
        return ranks


class DenseScores:
    """Every item scored for every question.

    Args:
        scores: [B, N].
    """

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores

    def limited(self, num_items: int) -> DenseScores:
        return DenseScores(self.scores[:, :num_items])

    def ranks(self, rows: Ints, targets: Ints) -> Floats:
        ranks = np.full(len(targets), np.inf)
        covered = np.flatnonzero(targets < self.scores.shape[1])
        scores = self.scores.numpy()
        for start in range(0, len(covered), TARGET_BLOCK):
            block = covered[start : start + TARGET_BLOCK]
            asked = rows[block]
            whole = len(asked) == len(scores) and bool((np.diff(asked) == 1).all())
            lines = scores if whole else scores[asked]
            own = scores[asked, targets[block]][:, None]
            higher = np.count_nonzero(lines > own, axis=1)
            least = np.count_nonzero(lines >= own, axis=1)
            ranks[block] = np.where(np.isfinite(own[:, 0]), (higher + least + 1.0) / 2.0, np.inf)
        return ranks


def factored(queries: Tensor, vectors: Tensor) -> DenseScores:
    """Dot products of queries [B, D] with item vectors [N, D]."""
    with torch.inference_mode():
        return DenseScores(queries @ vectors.T)
