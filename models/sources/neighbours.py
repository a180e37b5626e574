"""Session neighbours: those who did alike, and what they did besides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.memory.memory import FastMemory
from models.memory.sessions import NONE
from models.sources.question import (
    NOTHING,
    Floats,
    Ints,
    Proposal,
    Question,
    Rows,
    greatest,
    summed,
)

Places = npt.NDArray[np.bool_]

_LATER = 1e-12
"""Per second: among equals the latest session is looked at first."""


class Neighbours:
    """The sessions most like this one, by what they share with it, recency and position.

    similarity(s) = Σ_i 2^(−steps(i)/decay) / √|s| · 2^(−age(s)/h), over the events i of s whose
    item is shared, by the latest step of this history in which it stands; h is the memory's. Each
    event j of s gives its item similarity(s) · 2^(−|pos(j) − pos(latest shared)|/decay). Without
    decay all positions are alike: sets.

    Args:
        num_neighbours: sessions that answer.
        decay: steps after which a position counts half; None: positions count alike.
        reach: items of the history, latest first, that are asked.
        looked_at: sessions that share something, those that share most, whose events are compared.

    Source: Garg et al., Sequence and Time Aware Neighborhood for Session-based Recommendations
    (STAN), SIGIR 2019. Deviation: halves in place of powers of e; what was shared last is found by
    its latest place in the neighbour.
    """

    def __init__(
        self,
        num_neighbours: int = 300,
        decay: float | None = 2.0,
        reach: int = 20,
        looked_at: int = 1_000,
    ) -> None:
        self.num_neighbours, self.decay = num_neighbours, decay
        self.reach, self.looked_at = reach, looked_at

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        if not len(question.items):
            return NOTHING
        place = question.latest[question.latest >= len(question.items) - self.reach]
        items, steps = question.items[place], question.steps[place]
        weights = np.ones(len(items)) if self.decay is None else np.exp2(-steps / self.decay)
        slots = self._candidates(memory, question, items, weights)
        if not len(slots):
            return NOTHING
        return self._of(memory, question, items, weights, slots)

    def _candidates(
        self, memory: FastMemory, question: Question, items: Ints, weights: Floats
    ) -> Ints:
        """Slots that may share most; they must be looked at, for they may hold others by now."""
        sessions = memory.sessions
        found = sessions.found[items]
        met = np.zeros(sessions.capacity + 1, dtype=np.bool_)
        met[found] = True  # a free place is the last entry, and so is who has no slot
        met[NONE if question.user is None else sessions.slots.get(question.user, NONE)] = False
        slots = np.flatnonzero(met[:-1])
        if len(slots) <= self.looked_at:
            return slots
        weight = np.repeat(weights, sessions.per_item)
        similar = np.bincount(found.ravel() + 1, weight, sessions.capacity + 1)[1:][slots]
        near = similar + _LATER * sessions.times[slots, -1]
        return slots[greatest(near, self.looked_at)]

    def _of(
        self, memory: FastMemory, question: Question, items: Ints, weights: Floats, slots: Ints
    ) -> Proposal:
        sessions = memory.sessions
        longest = max(int(sessions.sizes[slots].max()), 1)
        rows = sessions.items[:, -longest:][slots]
        number = np.zeros(memory.num_items + 1, dtype=np.min_scalar_type(len(items)))
        number[items] = np.arange(1, len(items) + 1)
        shared = number[rows]  # which of the items, from 1; a free place is the last entry, 0
        at = np.flatnonzero(shared > 0)
        weight = weights[shared.ravel()[at] - 1]
        sums = np.bincount(at // longest, weights=weight, minlength=len(slots))
        similar: Floats = sums / np.sqrt(np.maximum(sessions.sizes[slots], 1))
        age = np.maximum(question.now_s - sessions.times[slots, -1], 0.0)
        similar *= np.exp2(-age / memory.half_life_s)
        best = greatest(similar, self.num_neighbours)
        return self._given(rows[best], shared[best] > 0, similar[best], memory.num_items)

    def _given(self, rows: Rows, shared: Places, similar: Floats, num_items: int) -> Proposal:
        """What the neighbours [n, L] give to their items."""
        length = rows.shape[1]
        given = np.repeat(similar, length)
        if self.decay is not None:
            place = np.arange(length)
            fade = np.exp2(-place / self.decay)[np.abs(place[:, None] - place)]
            latest = length - 1 - shared[:, ::-1].argmax(axis=1)
            given *= fade[latest].ravel()
        return summed(rows.ravel(), given, num_items)
