"""What the mixer is to learn from: questions as they stood just before it was known what came."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.memory.memory import FastMemory, Observed
from models.mixing.blend import Blend
from models.mixing.recorded import Recorded
from models.sources import Question
from models.vocabulary import Vocabulary
from service.memory.intake import Signal
from service.sections import MemorySettings
from service.storage.hashing import repeat_hash
from service.storage.lessons import lesson_id, pack

HISTORY = 50
"""Latest items of a history that are told."""


class Recorder:
    """Asks the sources of a sample of a batch's events, before the memory has seen any of it.

    Which events these are is a function of their ids alone. Of events at the very same time none is
    the other's history: a basket is one step.

    Args:
        blend: who is asked; nobody is where there is no source.
        settings: how large the sample may be.
    """

    def __init__(self, blend: Blend, settings: MemorySettings) -> None:
        self._blend = blend
        self._below = round(settings.lesson_share * 2.0**64)
        self._most = min(settings.lessons_per_batch, settings.lessons) if blend.sources else 0

    def lessons(
        self, memory: FastMemory, items: Vocabulary, signals: Sequence[Signal], events: Observed
    ) -> list[tuple[str, bytes]]:
        """Names and bytes of the lessons of a batch, in the order of the log.

        Args:
            memory: as it was before the batch.
            items: of the memory, and the batch's new ones.
            signals: the batch.
            events: the same, as the memory will be shown it.
        """
        found = []
        for at in self._sample(signals):
            lesson = self._lesson(memory, items, signals[at], events.part(0, at + 1))
            if lesson is not None:
                arrival = signals[at].arrival
                found.append((lesson_id(arrival.position, arrival.place), pack(lesson)))
        return found

    def _sample(self, signals: Sequence[Signal]) -> list[int]:
        """Places of the events that are asked of: those with the smallest hashes, in order."""
        if not self._most:
            return []
        hashes = [repeat_hash(one.event.user_id, one.event.event_id) for one in signals]
        chosen = [at for at, one in enumerate(hashes) if one < self._below]
        chosen.sort(key=hashes.__getitem__)
        return sorted(chosen[: self._most])

    def _lesson(
        self, memory: FastMemory, items: Vocabulary, signal: Signal, events: Observed
    ) -> Recorded | None:
        """Of the last of `events`; None where what came was nobody's candidate."""
        target = int(events.items[-1])
        if target >= memory.num_items:
            return None
        question = _question(memory, events)
        candidates, _ = self._blend.draft(memory, question)
        place = int(np.searchsorted(candidates.items, target))
        if place == len(candidates) or candidates.items[place] != target:
            return None
        return Recorded(
            sources=self._blend.names,
            type=signal.event.type,
            history=tuple(items.id(row) for row in question.items[-HISTORY:].tolist()),
            items=tuple(items.id(row) for row in candidates.items.tolist()),
            features=candidates.features.astype(np.float16),
            target=place,
        )


def _question(memory: FastMemory, events: Observed) -> Question:
    """What was known of the last event's user when it happened."""
    user, now_s = int(events.users[-1]), float(events.times[-1])
    mine = events.users == events.users[-1]
    items, times = events.items[mine], events.times[mine]
    slot = memory.sessions.slots.get(user)
    if slot is not None:
        before = memory.sessions.events(slot)
        items, times = np.concatenate((before[0], items)), np.concatenate((before[1], times))
    known = (times < now_s) & (items < memory.num_items)
    return Question(items[known], np.maximum.accumulate(times[known]), now_s, user)
