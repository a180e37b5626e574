"""What is new: the items that happened for the first time most lately."""

from __future__ import annotations

import numpy as np

from models.memory.memory import FastMemory
from models.sources.question import Floats, Ints, Proposal, Question


class Latest:
    """1/k for the k-th latest first event: rows of a memory are given in that order, and a
    compaction keeps it.

    Args:
        size: items proposed.
    """

    def __init__(self, size: int = 100) -> None:
        self.size = size

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        rows = _last(memory.counts.events[: memory.num_items], self.size)
        return Proposal(rows, 1.0 / np.arange(len(rows), 0, -1))


def _last(events: Floats, size: int) -> Ints:
    """The last `size` rows with any events, from the end as far back as it takes."""
    start, rows = len(events), np.empty(0, dtype=np.int64)
    while start > 0 and len(rows) < size:
        start = max(0, 2 * start - len(events) - size)
        rows = start + np.flatnonzero(events[start:] > 0.0)
    return rows[-size:]
