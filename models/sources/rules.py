"""Sequential rules: what followed what."""

from __future__ import annotations

from models.memory.memory import FastMemory
from models.sources.covisits import hop
from models.sources.question import NOTHING, Proposal, Question


class Rules:
    """What came after the items of the history, 1/steps each.

    Args:
        reach: items of the history, latest first, that are asked.
    """

    def __init__(self, reach: int = 10) -> None:
        self.reach = reach

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        if not len(question.items):
            return NOTHING
        weights = 1.0 / question.steps[-self.reach :]
        return hop(memory.rules, question.items[-self.reach :], weights, memory.num_items)
