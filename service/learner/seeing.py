"""Lessons of answers, cut to what was seen of them when their window is opened.

The fast memory's process writes down all that an answer showed, when something is taken from it.
Which of that was seen is told by impressions, before or after; so it is settled here, by all that
the log has said up to the window's end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.mixing.recorded import Recorded
from service.errors import CorruptEntry
from service.learner.joining import Joining
from service.storage.lessons import Told, is_of_answer, pack, unpack
from service.storage.parquet import ArchivedEvent


def as_seen(lessons: Sequence[Told], joining: Joining, rows: Iterable[ArchivedEvent]) -> list[Told]:
    """The lessons in their order, without those of answers that leave no choice.

    Args:
        lessons: as the fast memory has told them; what cannot be read stays as it is.
        joining: knows what was heard of answers.
        rows: what the window holds, which is not joined yet.

    Raises:
        Unavailable: what was heard cannot be read.
    """
    of_answers = [_read(data) if is_of_answer(data) else None for _, data in lessons]
    names = {lesson.answer for lesson in of_answers if lesson is not None}
    heard = joining.heard(names, rows)
    found: list[Told] = []
    for told, lesson in zip(lessons, of_answers, strict=True):
        if lesson is None:
            found.append(told)
            continue
        answer = heard.get(lesson.answer)
        cut = lesson.as_seen(None if answer is None else answer.seen)
        if cut is not None:
            found.append((told[0], pack(cut)))
    return found


def _read(data: bytes) -> Recorded | None:
    try:
        return unpack(data)
    except CorruptEntry:
        return None
