"""Text and category neighbours of the history, among items with few events.

What is met often has neighbours of its own; of what is new there is the text alone. An item that
never happened is proposed as well.
"""

from __future__ import annotations

import numpy as np

from models.memory.memory import FastMemory
from models.sources.question import NOTHING, Proposal, Question, greatest


class Content:
    """Of items with few events, cos(x_b, Σ_a x_a / steps(a)) over the rows x of their features.

    Args:
        reach: items of the history, latest first, whose text is read.
        size: items proposed.
    """

    def __init__(self, reach: int = 20, size: int = 100) -> None:
        self.reach, self.size = reach, size

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        texts, items = question.texts, question.items[-self.reach :]
        if texts is None or not len(items):
            return NOTHING
        weights = 1.0 / question.steps[-self.reach :]
        places, scores = texts.index.alike(texts.places(items), weights)
        rows = texts.rows(places)
        met = np.minimum(rows, memory.num_items - 1)  # whoever stands behind it never happened
        few = (rows > met) | (memory.counts.events[met] < texts.few)
        best = greatest(np.where(few, scores, 0.0), self.size)
        best = best[few[best]]
        best = best[np.argsort(rows[best])]
        return Proposal(rows[best], scores[best])
