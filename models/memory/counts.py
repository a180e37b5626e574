"""How often each item happened of late, at several rates of forgetting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Counts:
    """Decayed counts [N, R] and the time of each item's latest event.

    Args:
        half_lives_s: one per rate, seconds.
    """

    def __init__(self, half_lives_s: tuple[float, ...]) -> None:
        self.half_lives_s: Floats = np.asarray(half_lives_s)
        self.values: Floats = np.zeros((0, len(half_lives_s)))
        """[N, R] as of `times`."""
        self.times: Floats = np.zeros(0)
        """[N] seconds: the item's latest event."""
        self.events: Floats = np.zeros(0)
        """[N] undecayed."""

    def grow(self, size: int) -> None:
        """Have at least `size` rows."""
        if size <= len(self.times):
            return
        more = max(size, 2 * len(self.times), 1_024) - len(self.times)
        self.values = np.concatenate((self.values, np.zeros((more, self.values.shape[1]))))
        self.times = np.concatenate((self.times, np.zeros(more)))
        self.events = np.concatenate((self.events, np.zeros(more)))

    def add(self, items: Ints, weights: Floats, times: Floats) -> Ints:
        """Count events [n]. Returns the rows that changed, each once."""
        rows, row = np.unique(items, return_inverse=True)
        now = self.times[rows].copy()
        np.maximum.at(now, row, times)
        self.values[rows] *= np.exp2((self.times[rows] - now)[:, None] / self.half_lives_s)
        added = weights[:, None] * np.exp2((times - now[row])[:, None] / self.half_lives_s)
        np.add.at(self.values, items, added)
        np.add.at(self.events, items, 1.0)
        self.times[rows] = now
        return rows

    def at(self, items: Ints, now_s: float) -> Floats:
        """The counts [n, R] of `items` as they have decayed to by `now_s`."""
        age = np.maximum(now_s - self.times[items], 0.0)
        return np.asarray(self.values[items] * np.exp2(-age[:, None] / self.half_lives_s))

    def greatest(self, rate: int, size: int, among: Ints) -> Ints:
        """The `size` items of `among` (ascending) with the greatest counts, ascending.

        All counts of a rate decay alike, so their order is the same at any time: that of
        log₂ c + t/h. Of equal ones the lower row comes first; what has decayed to 0 is left out.
        """
        with np.errstate(divide="ignore"):
            size_log2 = np.log2(self.values[among, rate])
        order = size_log2 + self.times[among] / self.half_lives_s[rate]
        found = order > -np.inf
        if np.count_nonzero(found) > size:
            bar = np.partition(order, len(order) - size)[len(order) - size]
            above, equal = np.flatnonzero(order > bar), np.flatnonzero(order == bar)
            found = np.sort(np.concatenate((above, equal[: size - len(above)])))
        return np.asarray(among[found])

    def taken(self, rows: Ints) -> Counts:
        """Those of `rows`, in their order."""
        twin = Counts(tuple(self.half_lives_s.tolist()))
        twin.values, twin.times, twin.events = (
            self.values[rows],
            self.times[rows],
            self.events[rows],
        )
        return twin
