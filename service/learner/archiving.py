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
from service.learner.unlearned import Unlearned
from service.sections import LogSettings
from service.storage.archive import Archive, rows_of
from service.storage.parquet import ArchivedEvent
from service.storage.repeats import Hashes, hashes_of, nothing_remembered, remembered

Flags = npt.NDArray[np.bool_]


class Archiving:
    """Copies the log into the archive and remembers the ids that it has copied."""

    def __init__(self, unlearned: Unlearned, archive: Archive, settings: LogSettings) -> None:
        self._unlearned = unlearned
        self._archive = archive
        self._settings = settings
        self.repeats = nothing_remembered(settings)

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
        hashes = hashes_of(event for entry in entries for event in entry.interactions)
        return entries, self.repeats.repeats(hashes), hashes
