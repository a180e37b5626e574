"""Popularity of the last weeks, of the day, and of the last minutes."""

from __future__ import annotations

import numpy as np

from models.memory.memory import FastMemory
from models.sources.question import Proposal, Question


class Popular:
    """The items that happened most, by one of the memory's rates of forgetting.

    Args:
        rate: column of the counts.
        size: items proposed.
    """

    def __init__(self, rate: int, size: int = 100) -> None:
        self.rate, self.size = rate, size

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        counts = memory.counts
        n = memory.num_items
        age = np.maximum(question.now_s - counts.times[:n], 0.0)
        values = counts.values[:n, self.rate] * np.exp2(-age / counts.half_lives_s[self.rate])
        if n > self.size:
            best = np.argpartition(-values, self.size)[: self.size]
        else:
            best = np.arange(n)
        best = best[values[best] > 0.0]
        return Proposal(best, values[best])
