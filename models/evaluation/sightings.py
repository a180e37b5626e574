"""When each item was met: what had been seen of it before any event of the stream."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Sightings:
    """Events by item, oldest first, so that a question is one search whenever it is asked.

    Args:
        item: the item of each event [E], in time order.
        learnable: which events [E] may be learned from.
    """

    def __init__(self, item: Ints, learnable: Mask) -> None:
        self._rows: Ints = np.argsort(item, kind="stable")
        self._keys = item[self._rows] * len(item) + self._rows
        self._learnable: Ints = np.concatenate(([0], np.cumsum(learnable[self._rows])))

    def learnable(self, items: Ints, row: int) -> Ints:
        """How many events [n] before event `row` were of `items` [n] and may be learned from."""
        counts: Ints = self._learnable[self._place(items, row)]
        return counts - self._learnable[self._place(items, 0)]

    def latest(self, items: Ints, row: int) -> Ints:
        """The latest event [n] before event `row` that was of each of `items` [n]; −1 for none."""
        places = self._place(items, row)
        met = places > self._place(items, 0)
        latest: Ints = np.where(met, self._rows[np.maximum(places - 1, 0)], -1)
        return latest

    def _place(self, items: Ints, row: int) -> Ints:
        return np.searchsorted(self._keys, items * len(self._rows) + row)
