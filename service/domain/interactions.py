"""Interactions, and where they stand in the event log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

_POSITION = re.compile(r"^(\d{1,20})-(\d{1,20})$")


@total_ordering
@dataclass(frozen=True, slots=True)
class Position:
    """A place in the event log: the id of a log entry, ordered as the log is.

    `ms` is the arrival time of the entry in Unix milliseconds by the log's own clock.
    """

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    def __lt__(self, other: Position) -> bool:
        return (self.ms, self.seq) < (other.ms, other.seq)

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read `"<ms>-<seq>"`.

        Raises:
            ValueError: the text is no position.
        """
        found = _POSITION.match(text)
        if found is None:
            raise ValueError(f"{text!r} is no log position")
        return cls(int(found[1]), int(found[2]))


MAX_TIME_MS = 1 << 42
"""Times of events lie from 1970 to below it (the year 2109), so that ten bits of order fit beside
them in a double."""

START = Position(0, 0)
"""Before the first entry."""

IMPRESSION, SKIP = "impression", "skip"
"""The event types that are no positive signal whatever the settings say: an item was seen, and an
item was seen and passed over."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One event as the service accepted it: checked, with every default filled in."""

    user_id: str
    item_id: str
    type: str
    time_ms: int
    """When it happened, by the client's clock, in Unix milliseconds."""
    event_id: str
    value: float | None = None
    recommendation_id: str | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What one accepted request left in the log."""

    position: Position
    interactions: tuple[Interaction, ...]
