"""From the rows of one vocabulary to those of another."""

from __future__ import annotations

import numpy as np

from models.sources.question import Ints
from models.vocabulary import Vocabulary

_UNASKED = -2


class Crossing:
    """Where the items of one vocabulary stand in another; each is looked up once.

    To look up five hundred ids costs more than to rank them: each is a walk through memory. Belongs
    to one thread. Four bytes an item.

    Args:
        origin: may grow.
        target: must not.
    """

    def __init__(self, origin: Vocabulary, target: Vocabulary) -> None:
        self.origin, self.target = origin, target
        self._rows = np.empty(0, dtype=np.int32)

    def rows(self, rows: Ints) -> Ints:
        """Rows [n] of `target`, −1 for what it does not hold, of rows of `origin`."""
        if len(self.origin) > len(self._rows):
            more = max(len(self.origin), 2 * len(self._rows)) - len(self._rows)
            self._rows = np.append(self._rows, np.full(more, _UNASKED, dtype=np.int32))
        found = self._rows[rows]
        new = np.flatnonzero(found == _UNASKED)
        if len(new):
            found[new] = self.target.rows(map(self.origin.id, rows[new].tolist()))
            self._rows[rows[new]] = found[new]
        return found.astype(np.int64)
