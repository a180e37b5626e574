"""All events of one user: from the archive, the log behind it, and the history in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from service.domain.interactions import Interaction
from service.storage.archive import Archive
from service.storage.event_log import EventLog

_READ_EVENTS = 10_000


def after(events: Sequence[Interaction], time_ms: int, event_id: str) -> Sequence[Interaction]:
    """What follows an event in an export; if it has gone, what lies after its time."""
    for place, event in enumerate(events):
        if event.event_id == event_id:
            return events[place + 1 :]
    return [event for event in events if event.time_ms > time_ms]


class Export:
    """Reads through the archive and the log; meant for a thread, not for the event loop."""

    def __init__(self, archive: Archive, event_log: EventLog) -> None:
        self._archive = archive
        self._log = event_log

    def events(self, user_id: str, recent: Sequence[Interaction]) -> list[Interaction]:
        """The user's events, each once, by time and, at the same time, as they arrived.

        An api that runs apart from the learner may have no archive; then `recent`, the user's
        history in Redis, reaches further back than the log.

        Raises:
            Unavailable: the log does not answer.
        """
        # the log before the archive: what the learner moves meanwhile is met twice, not never
        tail = list(self._tail(user_id))
        archived = (event.interaction for event in self._archive.events_of(user_id))
        found = _first_of_each(archived, tail, recent)
        return sorted(found.values(), key=lambda event: event.time_ms)

    def _tail(self, user_id: str) -> Iterator[Interaction]:
        position = self._archive.end()
        while entries := self._log.read(position, _READ_EVENTS):
            position = entries[-1].position
            for entry in entries:
                yield from (event for event in entry.interactions if event.user_id == user_id)


def _first_of_each(*parts: Iterable[Interaction]) -> dict[str, Interaction]:
    first: dict[str, Interaction] = {}
    for part in parts:
        for event in part:
            first.setdefault(event.event_id, event)
    return first
