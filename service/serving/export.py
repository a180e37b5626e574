"""All events of one user, page by page: from the archive, the log behind it, the history in Redis.

Pages go by the events' own time, the archive by arrival. An event arrives at most `future_ms`
before its time, so of the archive a page reads from a little before the last event sent; up to
where the files that follow say of themselves that nothing in them happened as early as its own last
one (an import may bring in what is years old). What was repeated is told by the archive itself.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence

from service.domain.interactions import START, Interaction, Position
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
    """Reads through the archive and the log; meant for a thread, not for the event loop.

    Args:
        archive: may be empty where an api runs apart from the learner.
        event_log: what is not archived yet.
        past_ms: how long after its first arrival an event may be told from its repeat.
        future_ms: how far ahead of its arrival it may lie.
    """

    def __init__(
        self, archive: Archive, event_log: EventLog, *, past_ms: int, future_ms: int
    ) -> None:
        self._archive = archive
        self._log = event_log
        self._past_ms = past_ms
        self._future_ms = future_ms

    def page(
        self,
        user_id: str,
        recent: Sequence[Interaction],
        limit: int,
        last_sent: tuple[int, str] | None,
    ) -> tuple[list[Interaction], bool]:
        """Up to `limit` of the user's events, each once, by time and, at the same time, as they
        arrived.

        Args:
            recent: the user's history in Redis, which may reach further back than the log where
                there is no archive.
            last_sent: time (Unix milliseconds) and id of the last event of the page before.

        Returns:
            (the page, whether more follow).

        Raises:
            Unavailable: the log does not answer.
        """
        # the log before the archive: what the learner moves meanwhile is met twice, not never
        end = self._archive.end()
        tail = list(self._tail(user_id, end))
        archived = self._archived(user_id, end, limit, last_sent)
        found = sorted(
            _first_of_each(archived, tail, recent).values(), key=lambda event: event.time_ms
        )
        rest = found if last_sent is None else after(found, *last_sent)
        return list(rest[:limit]), len(rest) > limit

    def _archived(
        self, user_id: str, end: Position, limit: int, last_sent: tuple[int, str] | None
    ) -> Iterator[Interaction]:
        """What the page may hold, and what a repeat that is not archived yet may repeat."""
        from_ms, begin = -(2**62), START
        if last_sent is not None:
            from_ms = last_sent[0]
            since_ms = min(from_ms - self._future_ms, end.ms - self._past_ms)
            begin = Position(max(since_ms - 1, 0), 0)
        times: list[int] = []
        for rest_ms, events in self._archive.events_of(user_id, begin):
            for event in events:
                if not event.repeat:
                    yield event.interaction
                    if event.interaction.time_ms >= from_ms:
                        insort(times, event.interaction.time_ms)
            same = bisect_right(times, from_ms)
            if len(times) > limit + same and times[limit + same] < rest_ms:
                return  # what is left lies behind this page and the next one's first

    def _tail(self, user_id: str, position: Position) -> Iterator[Interaction]:
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
