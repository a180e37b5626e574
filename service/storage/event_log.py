"""The event log as its reader sees it: a log, not a queue.

The reader's position lives in the registry's head and in its checkpoints, never here, so an event
affects a model exactly once. There are no consumer groups and nothing is acknowledged.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, cast

import redis

from service.domain.interactions import START, LogEntry, Position
from service.errors import CorruptEntry
from service.storage.connections import answering
from service.storage.entries import unpack
from service.storage.keys import Keys

_PAGE = 64
_MAX_DEAD_LETTERS = 10_000

_Raw = tuple[bytes, Mapping[bytes, bytes]]


class EventLog:
    """One shard's log, read in order.

    Args:
        client: a client that returns bytes; see `service.storage.connections`.
        keys: names of the shard.
        buries: whether entries that cannot be decoded go to the dead letters; a reader beside the
            learner leaves that to it.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, buries: bool = True) -> None:
        self._client = client
        self._keys = keys
        self._buries = buries

    def incarnation(self) -> str:
        """The name of this very log, made up by the first who asks.

        A server that was wiped has another one, and its ids say nothing about old positions.
        """
        with answering("log incarnation"):
            self._client.set(self._keys.incarnation, uuid.uuid4().hex, nx=True)
            return cast(bytes, self._client.get(self._keys.incarnation)).decode()

    def owner(self) -> str | None:
        """The mark of the registry that learns from this log; None before the first."""
        with answering("log owner"):
            found = cast(bytes | None, self._client.get(self._keys.owner))
        return None if found is None else found.decode()

    def claim(self, mark: str) -> str:
        """Make a log that nobody owns that of the registry `mark`; whose it is then."""
        with answering("log owner"):
            self._client.set(self._keys.owner, mark, nx=True)
            return cast(bytes, self._client.get(self._keys.owner)).decode()

    def take(self, mark: str) -> None:
        """Make the log that of the registry `mark`, whoever had it: an operator's word."""
        with answering("log owner"):
            self._client.set(self._keys.owner, mark)

    def read(self, after: Position, max_events: int) -> list[LogEntry]:
        """Whole entries after `after` in log order, up to `max_events` events.

        An entry larger than `max_events` comes alone. One that cannot be decoded goes to the dead
        letters, once, and comes back without interactions, so that the reader passes it.

        Raises:
            Unavailable: the server does not answer.
        """
        entries: list[LogEntry] = []
        events = 0
        for entry_id, fields in self._scan(after):
            entry = self._decode(entry_id, fields)
            events += len(entry.interactions)
            if entries and events > max_events:
                break
            entries.append(entry)
            if events >= max_events or len(entries) >= max_events:
                break
        return entries

    def last(self) -> Position:
        """The id last given out, even when its entry has been trimmed; START for an empty log."""
        with answering("log end"):
            try:
                info = self._client.xinfo_stream(self._keys.log)
            except redis.ResponseError as error:
                if "no such key" not in str(error):
                    raise
                return START
        return _position(info["last-generated-id"])

    def oldest(self) -> Position | None:
        """The first entry still in the log; None when there is none."""
        first = next(iter(self._page(START, 1)), None)
        return None if first is None else _position(first[0])

    def length(self) -> int:
        """Entries in the log."""
        with answering("log length"):
            return self._client.xlen(self._keys.log)

    def total(self) -> int:
        """Events ever appended."""
        with answering("log total"):
            return int(cast(bytes | None, self._client.get(self._keys.log_total)) or 0)

    def events_after(self, position: Position, until: Position | None = None) -> int:
        """Events in the entries after `position`, by subtraction of running totals.

        Args:
            until: and up to and with this one; None is the end of the log.
        """
        for entry_id, fields in self._scan(position, 1):
            if until is not None and _position(entry_id) > until:
                break
            counted = _counted(fields)
            if counted is not None:
                total, own = counted
                return max(self._total_at(until) - (total - own), 0)
        return 0

    def missing(self, after: Position, total: int) -> int:
        """Events between `after` and the next entry that the log has dropped.

        Args:
            total: events ever appended, up to and with `after`.
        """
        for _, fields in self._scan(after, 1):
            counted = _counted(fields)
            return 0 if counted is None else max(counted[0] - counted[1] - total, 0)
        return 0

    def total_at(self, position: Position) -> int:
        """Events ever appended, up to and with `position`."""
        return self._total_at(position)

    def trim(self, before: Position) -> int:
        """Drop the entries before `before`; returns how many.

        To be called with a position that the archive holds. The entry at `before` stays.
        """
        with answering("log trim"):
            return self._client.xtrim(self._keys.log, minid=str(before), approximate=False)

    def dead_letters(self) -> int:
        """How many entries could not be decoded."""
        with answering("dead letters"):
            return self._client.xlen(self._keys.dead_letters)

    def _decode(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> LogEntry:
        position = _position(entry_id)
        try:
            return LogEntry(position, unpack(fields))
        except CorruptEntry as error:
            if self._buries:
                self._bury(position, fields, str(error))
            return LogEntry(position, ())

    def _bury(self, position: Position, fields: Mapping[bytes, bytes], reason: str) -> None:
        """The dead letter keeps the entry's own id, so the second burial is refused by Redis."""
        letter: dict[Any, Any] = {b"reason": reason, b"fields": repr(dict(fields))[:65_536]}
        with answering("dead letters"):
            try:
                self._client.xadd(
                    self._keys.dead_letters, letter, id=str(position), maxlen=_MAX_DEAD_LETTERS
                )
            except redis.ResponseError as error:
                if "equal or smaller" not in str(error):
                    raise

    def _total_at(self, until: Position | None) -> int:
        """Events ever appended, up to and with `until`; what follows it tells."""
        if until is None:
            return self.total()
        for _, fields in self._scan(until, 1):
            counted = _counted(fields)
            if counted is not None:
                total, own = counted
                return total - own
        return self.total()

    def _scan(self, after: Position, page_size: int = _PAGE) -> Iterator[_Raw]:
        while page := self._page(after, page_size):
            yield from page
            after = _position(page[-1][0])

    def _page(self, after: Position, count: int) -> list[_Raw]:
        with answering("log"):
            page = self._client.xrange(self._keys.log, min=f"({after}", max="+", count=count)
        return cast(list[_Raw], page)


def _counted(fields: Mapping[bytes, bytes]) -> tuple[int, int] | None:
    """The running total of an entry, and its own events; None when it does not tell."""
    try:
        return int(fields[b"t"]), int(fields[b"n"])
    except (KeyError, ValueError):
        return None


def _position(entry_id: bytes | str) -> Position:
    return Position.parse(entry_id.decode() if isinstance(entry_id, bytes) else entry_id)
