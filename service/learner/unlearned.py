"""The stretch of the log that is not learned yet.

It is read from the log; what the log has trimmed already (a rollback that learns again goes back
further) is read from the archive, which holds the same entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from service.domain.interactions import START, LogEntry, Position
from service.storage.archive import Archive
from service.storage.event_log import EventLog

_PAGE_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a window would end, and what it would hold: entries are never split."""

    end: Position
    events: int
    """0 when nothing is there but entries that could not be decoded."""
    oldest_ms: int
    """Arrival of its first entry, by the log's clock."""


class Unlearned:
    """Measures and cuts what lies behind a position.

    Args:
        log: the event log.
        archive: what was copied from it.
    """

    def __init__(self, log: EventLog, archive: Archive) -> None:
        self._log = log
        self._archive = archive
        self._archived = START

    def look_again(self) -> None:
        """Ask the archive how far it reaches: at the start, and when it was written."""
        self._archived = self._archive.end()

    def cut(self, after: Position, max_events: int, until: Position | None = None) -> Cut | None:
        """The next window after `after`: whole entries up to `max_events` (at least one).

        Entries without events (those that could not be decoded) go along with their neighbours;
        where they have none, they are a cut of no events.

        Args:
            until: no entry behind this one; None is no bound.

        Returns:
            None when no entry is there.
        """
        found: Cut | None = None
        for position, events in self._sizes(after):
            if until is not None and position > until:
                break
            if found is None or not found.events:
                found = Cut(position, events, position.ms)
            elif found.events + events <= max_events:
                found = Cut(position, found.events + events, found.oldest_ms)
            else:
                break
        return found

    def count(self, after: Position, until: Position | None = None) -> int:
        """Events behind `after`, up to and with `until`; None is the end of the log."""
        if until is not None and until <= after:
            return 0
        if self._archived <= after:
            return self._log.events_after(after, until)
        if until is not None and until <= self._archived:
            return self._archive.count(after, until)
        archived = self._archive.count(after, self._archived)
        return archived + self._log.events_after(self._archived, until)

    def entries(self, after: Position) -> Iterator[LogEntry]:
        """The log's own entries behind `after`, page by page."""
        while page := self._log.read(after, _PAGE_EVENTS):
            yield from page
            after = page[-1].position

    def _sizes(self, after: Position) -> Iterator[tuple[Position, int]]:
        """Position and number of events of each entry, in the order of the log."""
        if after < self._archived:
            rows = self._archive.read(after, self._archived)
            for position, group in groupby(rows, key=lambda row: row.position):
                yield position, sum(1 for _ in group)
        for entry in self.entries(max(after, self._archived)):
            yield entry.position, len(entry.interactions)
