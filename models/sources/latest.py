"""What is new: the items that happened for the first time most lately."""

from __future__ import annotations

import numpy as np

from models.memory.memory import FastMemory
from models.sources.question import Proposal, Question


class Latest:
    """1/k for the k-th latest first event: rows of a memory are given in that order, and a
    compaction keeps it.

    Args:
        size: items proposed.
    """

    def __init__(self, size: int = 100) -> None:
        self.size = size

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        rows = np.flatnonzero(memory.counts.events[: memory.num_items] > 0.0)[-self.size :]
        return Proposal(rows, 1.0 / np.arange(len(rows), 0, -1))
