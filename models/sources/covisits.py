"""The co-visit graph: one hop from the history, and two."""

from __future__ import annotations

import numpy as np

from models.memory.graph import Graph
from models.memory.memory import SLOW, FastMemory
from models.sources.question import NOTHING, Floats, Ints, Proposal, Question, greatest, summed
from models.sources.source import Onward, Source


def hop(graph: Graph, items: Ints, weights: Floats, size: int, power: float = 1.0) -> Proposal:
    """Σ_a weight(a) · w(a → b) / (Σ_c w(a → c))^power."""
    rows = graph.weights[items].astype(np.float64)
    total = rows.sum(axis=1)
    rows *= (weights / np.where(total > 0.0, total, 1.0) ** power)[:, None]
    return summed(graph.neighbours[items].ravel(), rows.ravel(), size)


class Covisits:
    """What was met together with the history; the latest step weighs most.

    Args:
        reach: items of the history, latest first, that are asked.
    """

    def __init__(self, reach: int = 20) -> None:
        self.reach = reach

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        if not len(question.items):
            return NOTHING
        weights = 1.0 / question.steps[-self.reach :]
        return hop(memory.covisits, question.items[-self.reach :], weights, memory.num_items)


COVISITS = Covisits()


class Walk(Onward):
    """Two hops over the co-visit graph, by way of the best items in the middle.

    Args:
        first: says where the first hop leads.
        middle: items in the middle.
        damping: scores are divided by popularity, as of an item's latest event, to this power.
    """

    def __init__(self, first: Source = COVISITS, middle: int = 100, damping: float = 0.25) -> None:
        super().__init__(first)
        self.middle, self.damping = middle, damping

    def onward(self, memory: FastMemory, first: Proposal) -> Proposal:
        if not len(first):
            return NOTHING
        best = greatest(first.scores, self.middle)
        found = hop(memory.covisits, first.items[best], first.scores[best], memory.num_items)
        popular = memory.counts.values[:, SLOW][found.items]
        return Proposal(found.items, found.scores / np.maximum(popular, 1e-3) ** self.damping)
