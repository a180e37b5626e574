"""The window's entries to Parquet, each event flagged if it came before.

A window is a fact before it is archived, so whoever archives it, and however often, writes the same
file. From then on it is read from the archive alone. What the archive holds already (a redo, or a
rollback that learns again) is not written twice.
"""

from __future__ import annotations

from itertools import takewhile

import numpy as np
import numpy.typing as npt

from service.domain.interactions import LogEntry, Position
from service.learner.repeats import Hashes, RepeatWindow
from service.learner.unlearned import Unlearned
from service.settings import LogSettings
from service.storage.archive import Archive, rows_of
from service.storage.clock import DAY_MS
from service.storage.hashing import repeat_hash
from service.storage.parquet import ArchivedEvent

Flags = npt.NDArray[np.bool_]


class Archiving:
    """Copies the log into the archive and remembers the ids that it has copied."""

    def __init__(self, unlearned: Unlearned, archive: Archive, settings: LogSettings) -> None:
        self._unlearned = unlearned
        self._archive = archive
        self._settings = settings
        self.repeats = _nothing(settings)

    def remember(self) -> None:
        """Fill the window of remembered ids from the archive's recent files."""
        self.repeats = remembered(self._archive, self._settings)
        self._unlearned.look_again()

    def rows(self, start: Position, end: Position) -> list[ArchivedEvent]:
        """What the archive holds of the range, or will once it is archived."""
        found = list(self._archive.read(start, end))
        entries, repeats, _ = self._behind(max(start, self._archive.end()), end)
        return found + rows_of(entries, repeats.tolist())

    def archive(self, start: Position, end: Position) -> None:
        """See that the archive holds the entries after `start` up to and with `end`."""
        start = max(start, self._archive.end())
        if end <= start:
            return
        entries, repeats, hashes = self._behind(start, end)
        self._archive.write(start, end, entries, repeats.tolist())
        self.repeats.remember(end.ms, hashes[~repeats])
        self._unlearned.look_again()

    def _behind(self, start: Position, end: Position) -> tuple[list[LogEntry], Flags, Hashes]:
        """The log's entries of the range; of each event whether it is a repeat, and its hash."""
        if end <= start:
            return [], np.zeros(0, np.bool_), np.zeros(0, np.uint64)
        log = self._unlearned.entries(start)
        entries = list(takewhile(lambda entry: entry.position <= end, log))
        ids = [(event.user_id, event.event_id) for e in entries for event in e.interactions]
        hashes = np.array([repeat_hash(*one) for one in ids], dtype=np.uint64)
        return entries, self.repeats.repeats(hashes), hashes


def remembered(archive: Archive, settings: LogSettings) -> RepeatWindow:
    """The window of ids that the archive's recent files fill."""
    repeats = _nothing(settings)
    since_ms = max(archive.end().ms - settings.retention_days * DAY_MS, 0)
    for ms, hashes in archive.recent_hashes(since_ms, settings.dedupe_max_ids):
        repeats.remember(ms, hashes)
    return repeats


def _nothing(settings: LogSettings) -> RepeatWindow:
    return RepeatWindow(settings.dedupe_max_ids, settings.retention_days * DAY_MS)
