"""What the mixer is to learn from: questions as they stood just before it was known what came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from models.content.texts import Shelf, Texts
from models.memory.memory import FastMemory, Observed
from models.mixing.blend import Blend
from models.mixing.features import Features
from models.mixing.recorded import Recorded
from models.sources import Question
from models.sources.question import Ints
from models.vocabulary import Vocabulary
from service.memory.answers import Answers, Listed
from service.memory.intake import Signal
from service.sections import MemorySettings
from service.storage.hashing import repeat_hash
from service.storage.lessons import lesson_id, pack

HISTORY = 50
"""Latest items of a history that are told."""

OF_ONE_USER = 4
"""Lessons of a step that one user gives, at most."""


class Recorder:
    """Asks the sources of a sample of a batch's events, before the memory has seen any of it.

    Which events these are is a function of their ids alone. Of events at the very same time none is
    the other's history: a basket is one step.

    Args:
        blend: who is asked; nobody is where there is no source.
        settings: how large the sample may be.
        answers: what was shown before an item was taken.
        shelf: what items say of themselves; None where nobody reads it.
    """

    def __init__(
        self, blend: Blend, settings: MemorySettings, answers: Answers, shelf: Shelf | None = None
    ) -> None:
        self._blend = blend
        self._answers = answers
        self._shelf = shelf
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

        Raises:
            Unavailable: what answers showed cannot be read.
        """
        found = []
        chosen = self._sample(signals)
        texts = None if self._shelf is None else self._shelf.texts(items)
        for at, listed in zip(
            chosen, self._answers.listed([signals[at] for at in chosen]), strict=True
        ):
            arrival = signals[at].arrival
            question = _question(memory, events.part(0, at + 1), texts)
            target, kind = int(events.items[at]), signals[at].event.type
            for lesson in self._told(memory, items, question, target, kind, listed):
                name = lesson_id(arrival.position, arrival.place, answer=bool(lesson.answer))
                found.append((name, pack(lesson)))
        return found

    def _sample(self, signals: Sequence[Signal]) -> list[int]:
        """Places of the events that are asked of: those with the smallest hashes, in order, and few
        of one user, who would else teach the mixer alone what to show to all."""
        if not self._most:
            return []
        hashes = [repeat_hash(one.event.user_id, one.event.event_id) for one in signals]
        chosen, of_user = list[int](), Counter[str]()
        for at in sorted(range(len(hashes)), key=hashes.__getitem__):
            if hashes[at] >= self._below or len(chosen) == self._most:
                break
            if of_user[user := signals[at].event.user_id] < OF_ONE_USER:
                of_user[user] += 1
                chosen.append(at)
        return sorted(chosen)

    def _told(
        self,
        memory: FastMemory,
        items: Vocabulary,
        question: Question,
        target: int,
        kind: str,
        listed: Listed | None,
    ) -> Iterator[Recorded]:
        """What came among all candidates, where it was one; and among what an answer showed, where
        there is such an answer. An item that never happened before is there by what it says of
        itself, or not at all."""
        texts = question.texts
        if target >= memory.num_items and texts is None:
            return
        candidates, said = self._blend.draft(memory, question)
        rows_of, id_of = (items.rows, items.id) if texts is None else (texts.rows_of, texts.id)
        history = tuple(items.id(row) for row in question.items[-HISTORY:].tolist())

        def recorded(rows: Ints, features: Features, answer: str, looked: int) -> Recorded:
            ids, place = tuple(map(id_of, rows.tolist())), int(np.flatnonzero(rows == target)[0])
            kept = features.astype(np.float16)
            return Recorded(self._blend.names, kind, history, ids, kept, place, answer, looked)

        if (candidates.items == target).any():
            yield recorded(candidates.items, candidates.features, "", 0)
        if listed is None:
            return
        every = rows_of(listed.items)
        known = (every >= 0) & ((texts is not None) | (every < memory.num_items))
        rows = every[known]
        if len(rows) > 1 and (rows == target).any():
            beside = self._blend.described(memory, question, said, rows)
            looked = int(np.count_nonzero(known[: listed.looked]))
            yield recorded(rows, beside, listed.name, looked)


def _question(memory: FastMemory, events: Observed, texts: Texts | None) -> Question:
    """What was known of the last event's user when it happened."""
    user, now_s = int(events.users[-1]), float(events.times[-1])
    mine = events.users == events.users[-1]
    items, times = events.items[mine], events.times[mine]
    slot = memory.sessions.slots.get(user)
    if slot is not None:
        before = memory.sessions.events(slot)
        items, times = np.concatenate((before[0], items)), np.concatenate((before[1], times))
    known = (times < now_s) & (items < memory.num_items)
    return Question(items[known], np.maximum.accumulate(times[known]), now_s, user, texts)
