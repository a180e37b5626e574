"""The replay buffer made anew from the archive.

The learned windows are gone through once, in the order of the log, as they were learned: histories
grow, probe users are left out, a window's hold-outs come in with the next one. Of the windows whose
admitted samples are still on file these are taken. Only the lowest keys are held on to, so memory
holds the histories, one window and two buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog

from models.config import LearningConfig
from models.continual.buffer import BottomK
from models.continual.memory import divided
from models.interactions import Event, Histories, Sample
from service.domain.interactions import START, Position
from service.domain.versions import Head, VersionRecord, WindowRecord, WindowStatus
from service.learner.admitted import admitted_samples
from service.learner.signals import Signals
from service.learner.stores import Stores
from service.storage.parquet import ArchivedEvent

log = structlog.get_logger()

_PAGE = 1_000


class Rebuilding:
    """Rebuilds the replay buffer.

    Args:
        stores: the buffer, and what it is rebuilt from.
        signals: what archived interactions are worth.
        config: by which samples are made.
        progress: told the share done; may raise to abandon it, which changes nothing.
    """

    def __init__(
        self,
        stores: Stores,
        signals: Signals,
        config: LearningConfig,
        progress: Callable[[float], None],
    ) -> None:
        self._stores = stores
        self._signals = signals
        self._config = config
        self._progress = progress

    def rebuild(self, head: Head, latest: dict[int, VersionRecord]) -> None:
        """Let the buffer hold what the head's tip and its ancestors have learned.

        Args:
            latest: by window, the versions whose admitted samples may be on file.

        Raises:
            CorruptEntry: the archive cannot be read.
        """
        buffer = self._stores.buffer
        kept = BottomK(buffer.size, buffer.max_bytes)
        for window, made in self._learned(head.position):
            record = latest.get(window.window_id)
            on_file = None if record is None else admitted_samples(self._stores.archive, record)
            kept.admit(made if on_file is None else on_file, window.window_id)
        buffer.replace(kept, head.tip)
        if len(kept):
            log.info("the replay buffer is rebuilt", version=head.tip, samples=len(kept))

    def _learned(self, until: Position) -> Iterator[tuple[WindowRecord, list[Sample]]]:
        """Each window of the lineage with the samples that it was the first to train on."""
        rows = self._stores.archive.read(until=until)
        histories, pending = Histories(self._config.max_history), list[Sample]()
        for window, events in self._cut(rows):
            self._progress(window.end.ms / max(until.ms, 1))
            user_keys = {event.user_id: event.user_key for event in events}
            split = divided(histories.samples(events), user_keys, window.seed, self._config)
            yield window, [*pending, *split.train]
            histories.extend(events)
            pending = split.holdout

    def _cut(self, rows: Iterator[ArchivedEvent]) -> Iterator[tuple[WindowRecord, list[Event]]]:
        """The archive's rows by window; what lies between windows was not learned."""
        at = next(rows, None)
        for window in self._windows():
            found = []
            while at is not None and at.position <= window.end:
                if at.position > window.start and not at.repeat:
                    found.append(at.interaction)
                at = next(rows, None)
            yield window, self._signals.events(found)

    def _windows(self) -> Iterator[WindowRecord]:
        """The windows of the lineage, in the order of the log."""
        after, learned = START, (WindowStatus.LEARNED,)
        while page := self._stores.registry.windows(after, learned, _PAGE):
            yield from page
            after = page[-1].end
