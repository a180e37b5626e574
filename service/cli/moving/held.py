"""Every event that the service holds: the archive, and what the log has behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from service.domain.interactions import START, Interaction, LogEntry
from service.sections import LogSettings
from service.storage.archive import Archive
from service.storage.event_log import EventLog
from service.storage.hashing import repeat_hash
from service.storage.repeats import RepeatWindow, remembered

_PAGE_EVENTS = 10_000


class HeldEvents:
    """Events in the order of the log, each once, up to where the log ended when this was made.

    In the archive the learner has marked the repeats; those that are not archived yet are found by
    the window that it will find them by.

    Args:
        archive: may grow meanwhile, and the log be trimmed behind it.
        log: the event log.
        settings: of the window.
    """

    def __init__(self, archive: Archive, log: EventLog, settings: LogSettings) -> None:
        self._archive = archive
        self._log = log
        self._settings = settings
        taken = log.total()
        self._until = max(log.last(), archive.end())
        self.most = self._count()
        """How many there are, repeats included."""
        self.missing = max(taken - self.most, 0)
        """Events that the log has taken, and that are neither in it nor in the archive."""

    def __iter__(self) -> Iterator[Interaction]:
        position, repeats = START, None
        while position < self._until:
            if self._archive.end() > position:
                archived = min(self._archive.end(), self._until)
                for row in self._archive.read(position, archived):
                    if not row.repeat:
                        yield row.interaction
                position, repeats = archived, None
                continue
            if repeats is None:
                repeats = remembered(self._archive, self._settings)
            page = self._log.read(position, _PAGE_EVENTS)
            if self._archive.end() > position:
                continue  # what was archived meanwhile may have been trimmed before it was read
            if not page:
                return
            yield from self._first_arrivals(page, repeats)
            position = page[-1].position

    def _first_arrivals(
        self, page: Sequence[LogEntry], repeats: RepeatWindow
    ) -> Iterator[Interaction]:
        """The page's events that are no repeats, which `repeats` then remembers."""
        entries = [entry for entry in page if entry.position <= self._until]
        events = [event for entry in entries for event in entry.interactions]
        hashes = np.array([repeat_hash(e.user_id, e.event_id) for e in events], dtype=np.uint64)
        repeated = repeats.repeats(hashes)
        if entries:
            repeats.remember(entries[-1].position.ms, hashes[~repeated])
        for event, again in zip(events, repeated, strict=True):
            if not again:
                yield event

    def _count(self) -> int:
        while True:
            end = self._archive.end()
            found = self._archive.count(START, end)
            found += self._log.events_after(end, self._until)
            if self._archive.end() == end:  # else the log may have been trimmed in between
                return found
