"""Popularity of the last weeks, of the day, and of the last minutes."""

from __future__ import annotations

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
        return Proposal(*memory.leaders(self.rate, self.size))
