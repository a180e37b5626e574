"""The user's own history: what was taken before is often taken again."""

from __future__ import annotations

import numpy as np

from models.memory.memory import FastMemory
from models.sources.question import NOTHING, Proposal, Question, hour_affinity, summed

DAY_S = 86_400.0


class Own:
    """Σ over the item's events of 2^(−age/half_life) · (1 + affinity · a), a as `hour_affinity` has
    it, 1 where the event was at this hour of the day."""

    def __init__(
        self, half_life_s: float = 30 * DAY_S, width_h: float = 2.0, affinity: float = 2.0
    ) -> None:
        self.half_life_s, self.width_h, self.affinity = half_life_s, width_h, affinity

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        if not len(question.items):
            return NOTHING
        age = np.maximum(question.now_s - question.times, 0.0)
        near = 1.0 + self.affinity * hour_affinity(age, self.width_h)
        return summed(question.items, near * np.exp2(-age / self.half_life_s), memory.num_items)
