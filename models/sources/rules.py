"""Sequential rules: what followed what, decayed slowly or fast."""

from __future__ import annotations

from models.memory.memory import FastMemory
from models.sources.covisits import hop
from models.sources.question import NOTHING, Proposal, Question


class Rules:
    """What came after the items of the history, 1/steps each.

    Args:
        fast: the transitions of the last minutes in place of those of weeks.
        reach: items of the history, latest first, that are asked.
    """

    def __init__(self, fast: bool = False, reach: int = 10) -> None:
        self.fast, self.reach = fast, reach

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        if not len(question.items):
            return NOTHING
        graph = memory.fast_rules if self.fast else memory.rules
        weights = 1.0 / question.steps[-self.reach :]
        return hop(graph, question.items[-self.reach :], weights, memory.num_items)
