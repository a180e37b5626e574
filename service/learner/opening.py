"""A cut becomes a window: drawn for, committed as a fact, and archived.

Up to the commit nothing has happened but a draw that a second attempt makes again; after it the
window is what its row says, whoever works on it. The archive is written only then, so a learner
that was fenced while it slept has no bounds of its own to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.config import LearningConfig
from models.continual.replay import draw_size
from models.interactions import Event, Sample
from service.domain.interactions import START, Position
from service.domain.versions import Head, WindowRecord
from service.learner.archiving import Archiving
from service.learner.drawing import window_seed
from service.learner.joining import Joining
from service.learner.names import draw_name
from service.learner.seeing import as_seen
from service.learner.signals import Signals
from service.learner.steps import ARCHIVED, DRAWN, OPENED, Reached
from service.learner.stores import Stores
from service.learner.unlearned import Cut
from service.storage.lessons import Told
from service.storage.parquet import ArchivedEvent


@dataclass(frozen=True, slots=True)
class Material:
    """What a window holds to learn from."""

    events: list[Event]
    """Without repeats, in the order of the log."""
    repeats: int
    draw: list[Sample]
    lessons: Sequence[Told] = ()
    """For the mixer, in the order of the log."""

    @classmethod
    def unread(cls) -> Material:
        """Of a window that nobody shall touch again."""
        return cls([], 0, [])


class Opening:
    """Makes windows, and reads back what they hold."""

    def __init__(
        self,
        stores: Stores,
        archiving: Archiving,
        signals: Signals,
        config: LearningConfig,
        max_lessons: int,
        joining: Joining,
        reached: Reached,
    ) -> None:
        self._stores = stores
        self._archiving = archiving
        self._signals = signals
        self._config = config
        self._max_lessons = max_lessons
        self._joining = joining
        self._reached = reached

    def open(
        self, head: Head, cut: Cut, rate: float = 1.0, taught: Position = START
    ) -> WindowRecord:
        """Commit the window after the head's position up to the cut's end.

        Args:
            taught: up to where lessons have taught the tip's mixing.
            rate: what the learning rate is multiplied by, whoever learns it and how often.

        Raises:
            StaleHead: the head has moved.
        """
        start = head.position
        rows = self._archiving.rows(start, cut.end)
        events, _ = self._events(rows)
        seed = window_seed(self._config.seed, start, head.tip)
        draw = self._stores.buffer.draw(draw_size(self._config, events), seed)
        digest = self._stores.archive.write_draw(draw_name(start, head.tip), draw)
        lessons = self._stores.archive.write_lessons(
            draw_name(start, head.tip),
            as_seen(self._lessons(taught, start, cut.end), self._joining, rows),
        )
        self._reached(DRAWN)
        window = self._stores.registry.open_window(
            head,
            start=start,
            end=cut.end,
            seed=seed,
            draw_digest=digest,
            events=cut.events,
            rate=rate,
            lessons_digest=lessons,
        )
        self._reached(OPENED)
        return window

    def material(self, window: WindowRecord, *, with_lessons: bool = False) -> Material:
        """What `window` holds, as it was when it was opened.

        The archive is seen to first.

        Args:
            with_lessons: read the mixer's, too, which are kept while the window is in work.

        Raises:
            LostDraw: its draw is not what was recorded.
            CorruptEntry: its archive file cannot be read.
        """
        self._archiving.archive(window.start, window.end)
        self._reached(ARCHIVED)
        events, repeats = self._events(self._stores.archive.read(window.start, window.end))
        name = draw_name(window.start, window.parent)
        draw = self._stores.archive.read_draw(name, window.draw_digest)
        lessons: Sequence[Told] = ()
        if with_lessons and window.lessons_digest:
            lessons = self._stores.archive.read_lessons(name, window.lessons_digest)
        return Material(events, repeats, draw, lessons)

    def _lessons(self, taught: Position, start: Position, end: Position) -> list[Told]:
        """The latest lessons behind `taught`, without those of stretches that were refused or
        undone: these teach nobody."""
        if not self._max_lessons:
            return []
        passed = self._stores.registry.passed_by(start) if taught < start else []
        return [
            (at, lesson)
            for at, lesson in self._stores.lessons.between(taught, end, self._max_lessons)
            if not any(after < at <= until for after, until in passed)
        ]

    def _events(self, archived: Iterable[ArchivedEvent]) -> tuple[list[Event], int]:
        """Events without repeats, and the number of these."""
        rows = list(archived)
        events = self._signals.events(row.interaction for row in rows if not row.repeat)
        return events, len(rows) - len(events)
