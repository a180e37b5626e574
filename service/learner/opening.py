"""A cut becomes a window: archived, drawn for, and committed as a fact.

Up to the commit nothing has happened but copies that a second attempt makes again; after it the
window is what its row says, whoever works on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.config import LearningConfig
from models.interactions import Event, Sample
from service.domain.interactions import Position
from service.domain.versions import Head, WindowRecord
from service.learner.archiving import Archiving
from service.learner.drawing import draw_size, window_seed
from service.learner.names import draw_name
from service.learner.signals import Signals
from service.learner.steps import ARCHIVED, DRAWN, OPENED, Reached
from service.learner.stores import Stores
from service.learner.unlearned import Cut


@dataclass(frozen=True, slots=True)
class Material:
    """What a window holds to learn from."""

    events: list[Event]
    """Without repeats, in the order of the log."""
    repeats: int
    draw: list[Sample]


class Opening:
    """Makes windows, and reads back what they hold."""

    def __init__(
        self,
        stores: Stores,
        archiving: Archiving,
        signals: Signals,
        config: LearningConfig,
        reached: Reached,
    ) -> None:
        self._stores = stores
        self._archiving = archiving
        self._signals = signals
        self._config = config
        self._reached = reached

    def open(self, head: Head, cut: Cut) -> WindowRecord:
        """Commit the window after the head's position up to the cut's end.

        Raises:
            StaleHead: the head has moved.
        """
        start = head.position
        self._archiving.archive(start, cut.end)
        self._reached(ARCHIVED)
        events, _ = self._read(start, cut.end)
        seed = window_seed(self._config.seed, start, head.tip)
        draw = self._stores.buffer.draw(draw_size(self._config, events), seed)
        digest = self._stores.archive.write_draw(draw_name(start, head.tip), draw)
        self._reached(DRAWN)
        window = self._stores.registry.open_window(
            head, start=start, end=cut.end, seed=seed, draw_digest=digest, events=cut.events
        )
        self._reached(OPENED)
        return window

    def material(self, window: WindowRecord) -> Material:
        """What `window` holds, as it was when it was opened.

        A learner may have died between opening and now, so the archive is seen to first.

        Raises:
            CorruptEntry: its draw or its archive file is not what was recorded.
        """
        self._archiving.archive(window.start, window.end)
        events, repeats = self._read(window.start, window.end)
        name = draw_name(window.start, window.parent)
        draw = self._stores.archive.read_draw(name, window.draw_digest)
        return Material(events, repeats, draw)

    def _read(self, start: Position, end: Position) -> tuple[list[Event], int]:
        rows = list(self._stores.archive.read(start, end))
        events = self._signals.events(row.interaction for row in rows if not row.repeat)
        return events, len(rows) - len(events)
