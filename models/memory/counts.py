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

    def greatest(self, rate: int, size: int, num_items: int) -> tuple[Ints, Floats]:
        """The `size` items with the greatest counts at the latest time of all, ascending."""
        latest = self.times[:num_items].max(initial=0.0)
        age = latest - self.times[:num_items]
        values = self.values[:num_items, rate] * np.exp2(-age / self.half_lives_s[rate])
        best = np.arange(num_items)
        if num_items > size:
            best = np.sort(np.argpartition(-values, size)[:size])
        best = best[values[best] > 0.0]
        return best, values[best]
