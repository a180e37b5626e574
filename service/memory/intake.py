"""The log as the memory takes it in: each event once, in the log's order, if it is a good sign.

The window of remembered ids is the learner's, with the same bounds. After a start it is read from
the archive, up to the memory's own position, and from the log beyond it; so a repeat is recognised
as long as either holds its first arrival: for `FRESHET_LOG__RETENTION_DAYS`, or the latest
`FRESHET_LOG__DEDUPE_MAX_IDS` events. Where the archive is out of sight, for what the log holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.domain.interactions import Interaction, LogEntry, Position
from service.domain.weights import EventWeights
from service.sections import LogSettings
from service.storage.archive import Archive
from service.storage.event_log import EventLog
from service.storage.repeats import Hashes, hashes_of, nothing_remembered, remembered

_FEW = 4_096
_PAGE_EVENTS = 1_000


class Arrival(NamedTuple):
    """An event, and where it stands in the log."""

    position: Position
    place: int
    """In its entry."""
    event: Interaction


class Signal(NamedTuple):
    """A positive event that had not come before, and its weight."""

    arrival: Arrival
    weight: float

    @property
    def event(self) -> Interaction:
        return self.arrival.event


class Repeats:
    """The window of remembered ids, which may be told of a few ids at a time.

    Args:
        settings: how many are remembered, and for how long.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._window = nothing_remembered(settings)
        self._latest: dict[int, int] = {}
        """Hashes that wait to be a segment of the window, and the log time of each."""

    def __len__(self) -> int:
        return len(self._window) + len(self._latest)

    @property
    def reach_ms(self) -> int | None:
        """Log time since which ids are remembered."""
        return self._window.reach_ms or min(self._latest.values(), default=None)

    def read(self, archive: Archive, log: EventLog, position: Position) -> None:
        """Remember what came up to `position`; for a window that is empty."""
        self._window = remembered(archive, self._settings, position)
        after = min(archive.end(), position)
        while page := log.read(after, _PAGE_EVENTS):
            self.new(entry for entry in page if entry.position <= position)
            after = page[-1].position
            if after >= position:
                return

    def new(self, entries: Iterable[LogEntry]) -> list[Arrival]:
        """The events that have not come before, which from now on have."""
        arrivals = [
            Arrival(entry.position, place, event)
            for entry in entries
            for place, event in enumerate(entry.interactions)
        ]
        if not arrivals:
            return []
        hashes = hashes_of(arrival.event for arrival in arrivals)
        found = []
        for arrival, known, one in zip(
            arrivals, self._window.repeats(hashes), hashes.tolist(), strict=True
        ):
            if not known and one not in self._latest:
                self._latest[one] = arrival.position.ms
                found.append(arrival)
        if len(self._latest) >= _FEW:
            self._settle()
        return found

    def _settle(self) -> None:
        hashes: Hashes = np.fromiter(self._latest, dtype=np.uint64, count=len(self._latest))
        self._window.remember(max(self._latest.values()), hashes)
        self._latest = {}


@dataclass(frozen=True, slots=True)
class Taken:
    """A stretch of the log."""

    position: Position
    """Of its last entry."""
    signals: Sequence[Signal]
    events: int
    repeats: int
    undecodable: int


class Intake:
    """Reads the log's next entries.

    Args:
        log: left as it is: what cannot be decoded is passed over.
        weights: which events are positive signals, and how much they are worth.
    """

    def __init__(self, log: EventLog, repeats: Repeats, weights: EventWeights) -> None:
        self._log = log
        self._repeats = repeats
        self._weights = weights

    def take(self, after: Position, max_events: int) -> Taken | None:
        """What follows `after`; None when nothing does.

        Raises:
            Unavailable: the log's server does not answer.
        """
        entries = self._log.read(after, max_events)
        if not entries:
            return None
        events = sum(len(entry.interactions) for entry in entries)
        new = self._repeats.new(entries)
        weighed = (
            Signal(one, self._weights.weight(one.event.type, one.event.value)) for one in new
        )
        return Taken(
            position=entries[-1].position,
            signals=[signal for signal in weighed if signal.weight > 0.0],
            events=events,
            repeats=events - len(new),
            undecodable=sum(1 for entry in entries if not entry.interactions),
        )
