"""A figure by user, and how far it would move had other users come: the paired bootstrap.

Users are drawn with replacement, each with all their targets. The same seed and number of users
give the same draws, so that every figure of every arm is taken on the same resamples: differences
are paired.

Source: Efron and Tibshirani, 1993, chapter 13 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from models.evaluation.questions import Asked
from models.evaluation.slices import K
from models.ranking.metrics import mrr, recall

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

RECALL = partial(recall, k=K)
MRR = partial(mrr, k=K)
RESAMPLES = 1_000
CONFIDENCE = 0.95
AT_ONCE = 8_000_000
"""Numbers of a block of draws that are held at once."""


class ByUser:
    """What the targets of every user earned in every period, so that users can be drawn anew.

    Args:
        asked: the targets, by period [P].
        masks: which of them count, by period [P].
        gain: of ranks: what each target earns; the figure is its mean.
        seed: of the draws.
    """

    def __init__(
        self,
        asked: Sequence[Asked],
        masks: Sequence[Mask],
        *,
        gain: Callable[[Floats], Floats] = RECALL,
        seed: int = 0,
    ) -> None:
        self._masks, self._gain, self._seed = masks, gain, seed
        counted = [part.user[mask] for part, mask in zip(asked, masks, strict=True)]
        self.users = np.unique(np.concatenate(counted))
        self._rows = [np.searchsorted(self.users, users) for users in counted]
        self._counts = self._table([np.ones(len(users)) for users in counted])

    def value(self, ranks: Sequence[Floats]) -> Floats:
        """The figure [P] of the ranks of each period's targets; NaN where nobody was asked."""
        return _ratio(self._gains(ranks).sum(axis=0), self._counts.sum(axis=0))

    def draws(self, lines: Sequence[Sequence[Floats]]) -> Floats:
        """The same on each resample for L lines of ranks: [RESAMPLES, L, P]."""
        gains = np.concatenate([self._gains(ranks) for ranks in lines], axis=1)
        drawn = resampled(gains, self._seed)
        return _ratio(drawn.reshape(len(drawn), len(lines), -1), self._drawn_counts[:, None, :])

    @cached_property
    def _drawn_counts(self) -> Floats:
        return resampled(self._counts, self._seed)

    def _gains(self, ranks: Sequence[Floats]) -> Floats:
        """[U, P]."""
        return self._table(
            [self._gain(part[mask]) for part, mask in zip(ranks, self._masks, strict=True)]
        )

    def _table(self, values: Sequence[Floats]) -> Floats:
        """Sums by user [U, P] of one value per counted target."""
        size = len(self.users)
        columns = [
            np.bincount(rows, weights=part, minlength=size)
            for rows, part in zip(self._rows, values, strict=True)
        ]
        return np.stack(columns, axis=1)


def resampled(table: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Column sums [B, C] of `table` [U, C] over users drawn with replacement, B times."""
    users = len(table)
    if users == 0:
        return np.zeros((resamples, table.shape[1]))
    generator = np.random.default_rng(seed)
    step = max(1, AT_ONCE // users)
    blocks = []
    for first in range(0, resamples, step):
        times = [
            np.bincount(generator.integers(0, users, users), minlength=users)
            for _ in range(min(step, resamples - first))
        ]
        blocks.append(np.stack(times).astype(np.float64) @ table)
    return np.concatenate(blocks)


def interval(draws: Floats) -> tuple[float, float]:
    """Low and high end [2] of the CONFIDENCE interval of a figure's `draws` [B].

    NaN, NaN where some draws give no number: then the figure is not bounded by these users.
    """
    if not np.isfinite(draws).all():
        return float("nan"), float("nan")
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return float(low), float(high)


def _ratio(gains: Floats, counts: Floats) -> Floats:
    share: Floats = np.full(np.broadcast_shapes(gains.shape, counts.shape), np.nan)
    np.divide(gains, counts, out=share, where=counts > 0)
    return share
