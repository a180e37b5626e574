"""The window's entries to Parquet, each event flagged if it came before.

From here on the window is read from the archive alone, so a redo sees the same events and the same
flags. What the archive holds already (a redo, or a rollback that learns again) is not written
twice: files never overlap.
"""

from __future__ import annotations

from itertools import takewhile

import numpy as np

from service.domain.interactions import Position
from service.learner.repeats import RepeatWindow
from service.learner.unlearned import Unlearned
from service.settings import LogSettings
from service.storage.archive import Archive
from service.storage.hashing import repeat_hash

_DAY_MS = 24 * 3_600 * 1_000


class Archiving:
    """Copies the log into the archive and remembers the ids that it has copied."""

    def __init__(self, unlearned: Unlearned, archive: Archive, settings: LogSettings) -> None:
        self._unlearned = unlearned
        self._archive = archive
        self._settings = settings
        self.repeats = self._nothing()

    def remember(self) -> None:
        """Fill the window of remembered ids from the archive's recent files."""
        repeats = self._nothing()
        end = self._archive.end()
        since_ms = end.ms - self._settings.retention_days * _DAY_MS
        for ms, hashes in self._archive.recent_hashes(end, since_ms, self._settings.dedupe_max_ids):
            repeats.remember(ms, hashes)
        self.repeats = repeats
        self._unlearned.look_again()

    def archive(self, start: Position, end: Position) -> None:
        """See that the archive holds the entries after `start` up to and with `end`."""
        start = max(start, self._archive.end())
        if end <= start:
            return
        log = self._unlearned.entries(start)
        entries = list(takewhile(lambda entry: entry.position <= end, log))
        ids = [(event.user_id, event.event_id) for e in entries for event in e.interactions]
        hashes = np.array([repeat_hash(*one) for one in ids], dtype=np.uint64)
        repeats = self.repeats.repeats(hashes)
        self._archive.write(start, end, entries, repeats.tolist())
        self.repeats.remember(end.ms, hashes[~repeats])
        self._unlearned.look_again()

    def _nothing(self) -> RepeatWindow:
        settings = self._settings
        return RepeatWindow(settings.dedupe_max_ids, settings.retention_days * _DAY_MS)
