"""Session neighbours: those who did alike, and what they did besides."""

from __future__ import annotations

import numpy as np

from models.memory.memory import FastMemory
from models.memory.sessions import NONE
from models.sources.question import NOTHING, Floats, Ints, Proposal, Question, greatest, summed

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
        items, place = np.unique(question.items[-self.reach :][::-1], return_index=True)
        steps = question.steps[-self.reach :][::-1][place]
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
        there = found != NONE
        similar = np.bincount(
            found[there],
            weights=np.broadcast_to(weights[:, None], found.shape)[there],
            minlength=sessions.capacity,
        )
        if question.user is not None and question.user in sessions.slots:
            similar[sessions.slots[question.user]] = 0.0
        slots = np.flatnonzero(similar)
        if len(slots) > self.looked_at:
            near = similar[slots] + _LATER * sessions.times[slots, -1]
            slots = slots[greatest(near, self.looked_at)]
        return slots

    def _of(
        self, memory: FastMemory, question: Question, items: Ints, weights: Floats, slots: Ints
    ) -> Proposal:
        sessions = memory.sessions
        weight_of = np.zeros(memory.num_items + 1)
        weight_of[items] = weights
        rows = sessions.items[slots]
        shared = weight_of[rows]  # a free place is the last entry, 0
        similar = shared.sum(axis=1) / np.sqrt(np.maximum(sessions.sizes[slots], 1))
        age = np.maximum(question.now_s - sessions.times[slots, -1], 0.0)
        similar *= np.exp2(-age / memory.half_life_s)
        if len(slots) > self.num_neighbours:
            best = greatest(similar, self.num_neighbours)
            rows, shared, similar = rows[best], shared[best], similar[best]
        given = np.repeat(similar[:, None], rows.shape[1], axis=1)
        if self.decay is not None:
            places = np.arange(rows.shape[1])
            latest = np.where(shared > 0.0, places, -1).max(axis=1)
            given *= np.exp2(-np.abs(places - latest[:, None]) / self.decay)
        there = rows != NONE
        return summed(rows[there], given[there], memory.num_items)
