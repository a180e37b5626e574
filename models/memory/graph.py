"""A decayed graph between items: every item keeps its strongest neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NONE = -1
"""A free place of a row."""
_AT_ONCE = 10_000


class Graph:
    """Weights w(a → b) = Σ w_e · 2^−(t − t_e)/h over what was counted, at most `width` per item.

    Each row holds its weights as of its own latest time, so that nothing is ever rescaled but a
    row that is written anyway, and a row may be read without knowing what time it is: all its
    weights have decayed alike. Pairs that come together are summed before the weakest are dropped;
    until a row is full, how they were cut into calls changes nothing but the rounding.

    Args:
        width: neighbours kept of an item; the weakest are dropped.
        half_life_s: h, seconds.

    Source: Cormode, Shkapenyuk, Srivastava and Xu, Forward Decay, 2009. Deviation: a landmark for
    each row, its latest time, in place of one for all, so that no weight can overflow.
    """

    def __init__(self, width: int, half_life_s: float) -> None:
        self.width = width
        self.half_life_s = half_life_s
        self.neighbours = np.full((0, width), NONE, dtype=np.int32)
        """[N, W], strongest first, then free places."""
        self.weights = np.zeros((0, width), dtype=np.float32)
        """[N, W] as of `times`, 0 in free places."""
        self.times: Floats = np.zeros(0)
        """[N] seconds."""

    def __len__(self) -> int:
        return len(self.times)

    def grow(self, size: int) -> None:
        """Have at least `size` rows."""
        if size <= len(self):
            return
        room = max(size, 2 * len(self), 1_024)
        neighbours, weights = self.neighbours, self.weights
        self.neighbours = np.full((room, self.width), NONE, dtype=np.int32)
        self.neighbours[: len(neighbours)] = neighbours
        self.weights = np.zeros((room, self.width), dtype=np.float32)
        self.weights[: len(weights)] = weights
        self.times = np.concatenate((self.times, np.zeros(room - len(self.times))))

    def add(self, sources: Ints, targets: Ints, weights: Floats, times: Floats) -> Ints:
        """Count pairs [P]; a pair that happened before its row's latest time counts less.

        Returns:
            The rows that changed, each once.
        """
        rows, row = np.unique(sources, return_inverse=True)
        if not len(rows):
            return rows
        now = np.maximum(self.times[rows], _latest(row, times, len(rows)))
        added = weights * np.exp2((times - now[row]) / self.half_life_s)
        kept = self.weights[rows] * np.exp2((self.times[rows] - now) / self.half_life_s)[:, None]
        old = self.neighbours[rows]
        there = old != NONE
        owners = np.concatenate((np.nonzero(there)[0], row))
        others = np.concatenate((old[there].astype(np.int64), targets))
        values = np.concatenate((kept[there], added))
        self._write(rows, *_strongest(owners, others, values, self.width))
        self.times[rows] = now
        return rows

    def put(
        self,
        row: int,
        neighbours: npt.NDArray[np.int32],
        weights: npt.NDArray[np.float32],
        time: float,
    ) -> None:
        """Write a whole row, strongest first; of more neighbours than fit, the strongest."""
        size = min(len(neighbours), self.width)
        self.neighbours[row, size:], self.weights[row, size:] = NONE, 0.0
        self.neighbours[row, :size], self.weights[row, :size] = neighbours[:size], weights[:size]
        self.times[row] = time

    def taken(self, rows: Ints, numbers: Ints) -> Graph:
        """The rows `rows`, in their order, whose neighbours have new numbers.

        Args:
            numbers: [N] the new row of each item, `NONE` for one that is dropped; the others of a
                row stay as they were.
        """
        twin = Graph(self.width, self.half_life_s)
        twin.grow(len(rows))
        numbered = np.append(numbers, NONE)  # a free place, −1, is the last one
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            neighbours = numbered[self.neighbours[some]]
            order = np.argsort(neighbours == NONE, axis=1, kind="stable")
            weights = np.where(neighbours == NONE, 0.0, self.weights[some])
            here = slice(start, start + len(some))
            twin.neighbours[here] = np.take_along_axis(neighbours, order, axis=1)
            twin.weights[here] = np.take_along_axis(weights, order, axis=1)
        twin.times[: len(rows)] = self.times[rows]
        return twin

    def _write(self, rows: Ints, owner: Ints, place: Ints, other: Ints, value: Floats) -> None:
        self.neighbours[rows] = NONE
        self.weights[rows] = 0.0
        self.neighbours[rows[owner], place] = other
        self.weights[rows[owner], place] = value


def _latest(row: Ints, times: Floats, size: int) -> Floats:
    latest = np.full(size, -np.inf)
    np.maximum.at(latest, row, times)
    return latest


def _strongest(
    owners: Ints, others: Ints, values: Floats, width: int
) -> tuple[Ints, Ints, Ints, Floats]:
    """Sums by pair, the `width` greatest of each owner: (owner, place, other, value)."""
    span = int(others.max()) + 1
    pairs, pair = np.unique(owners * span + others, return_inverse=True)
    sums = np.bincount(pair, weights=values)
    owner, other = pairs // span, pairs % span
    order = np.lexsort((-sums, owner))
    owner, other, sums = owner[order], other[order], sums[order]
    first = np.searchsorted(owner, np.arange(int(owner[-1]) + 1))
    place = np.arange(len(owner)) - first[owner]
    stays = (place < width) & (sums > 0.0)
    return owner[stays], place[stays], other[stays], sums[stays]
