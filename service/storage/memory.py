"""The fast memory where it is kept: row by row, in the same server as the log that it is made of.

So a server that is restored brings back both as they were together. A commit writes the rows that
have changed, the ids of new items and how far the memory has come in one step, and only if nobody
has written since the last one and the keeper's epoch is still the latest: a second keeper, or one
that was paused and wakes up, changes nothing. Each commit leaves word of its rows in a bounded
stream, which replicas follow.

Rows stand in hashes by number. When items are dropped the numbers change, and with them the
*generation*, which is part of the hashes' names: the new one is written beside the old one, which
serves on until one step makes the other the one that is meant.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import cast

import msgspec
import redis

from models.memory.packing import FORMAT
from service.domain.interactions import START, Position
from service.errors import StaleMemory
from service.storage.connections import answering
from service.storage.keys import Keys

_CHUNK = 500
"""Rows read or written in one call where there are many."""

Rows = Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class MemoryState:
    """What is true of the memory between two commits."""

    epoch: int = 0
    """Of its keeper: whoever takes it over has a higher one."""
    generation: int = 0
    """Which numbering of rows is meant; 0 before the first."""
    commit: int = 0
    mark: str = ""
    """Of this very commit: another server's of the same number has another one."""
    format: int = FORMAT
    incarnation: str = ""
    """Of the log that it is made of."""
    position: Position = START
    """How far that log has been remembered."""
    total: int = 0
    """Events ever appended to it, up to the position; −1 where that is not known."""
    events: int = 0
    """Events counted; so are those passed over:"""
    repeats: int = 0
    undecodable: int = 0
    lost: int = 0
    """Events that the log had dropped before they were read."""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What one commit wrote."""

    mark: str
    generation: int
    items: list[int]
    sessions: list[int]


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit writes."""

    items: Rows = field(default_factory=dict)
    sessions: Rows = field(default_factory=dict)
    ids: Sequence[str] = ()
    """Of the items whose rows come after those there are."""
    num_items: int = 0
    """Rows that there are before it."""
    lessons: Sequence[tuple[str, bytes]] = ()
    """Their names in the stream, ascending, and packed lessons."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a reader sees at one moment."""

    state: MemoryState | None
    ids: tuple[str, ...] = ()
    items: Rows = field(default_factory=dict)
    sessions: Rows = field(default_factory=dict)


class MemoryStore:
    """The fast memory of a shard; its keeper writes, replicas read.

    Args:
        client: a client that returns bytes, for threads.
        keys: names of the shard.
        changes: commits whose rows are named in the stream of changes, at most.
        lessons: lessons kept in their stream, at most.

    Every method raises `Unavailable` when the server does not answer.
    """

    def __init__(
        self, client: redis.Redis, keys: Keys, changes: int = 256, lessons: int = 2_048
    ) -> None:
        self._client = client
        self._keys = keys
        self._changes, self._lessons = changes, lessons
        script = (files("service.storage") / "memory.lua").read_text()
        self._commit = client.register_script(script)

    def state(self) -> MemoryState | None:
        """How it stands; None when nobody has ever kept one here."""
        with answering("fast memory"):
            found = cast(dict[bytes, bytes], self._client.hgetall(self._keys.memory))
        return _state(found)

    def take(self) -> MemoryState:
        """Become its keeper; whoever was it before can write no more."""
        with answering("fast memory"):
            epoch = self._client.hincrby(self._keys.memory, "epoch", 1)
        state = self.state()
        if state is None or state.epoch != epoch:
            raise StaleMemory("another process has become the keeper of the fast memory")
        return state

    def commit(self, before: MemoryState, after: MemoryState, written: Written) -> MemoryState:
        """Write rows, ids and `after` in one step.

        Returns:
            `after` as it stands now, with its number and mark.

        Raises:
            StaleMemory: it does not stand as `before` any more; nothing was written.
        """
        after = replace(after, commit=before.commit + 1, mark=secrets.token_hex(8))
        change = Change(after.mark, after.generation, [*written.items], [*written.sessions])
        self._write(before, after.generation, written, after, change)
        return after

    def begin(self, before: MemoryState, written: Iterable[Written]) -> int:
        """Write another generation beside the one that is meant, part by part.

        Returns:
            Its number; it is nobody's until a commit names it.

        Raises:
            StaleMemory: as for `commit`.
        """
        generation = before.generation + 1
        self._drop(generation)
        if not before.commit:  # what is left of a memory whose state is gone has our numbers
            with answering("fast memory"):
                self._client.unlink(self._keys.memory_changes)
        for part in written:
            self._write(before, generation, part)
        return generation

    def sweep(self, state: MemoryState) -> None:
        """Drop the generations beside the one that is meant: the one before, and one half made."""
        for generation in (state.generation - 1, state.generation + 1):
            self._drop(generation)

    def sizes(self, generation: int) -> tuple[int, int]:
        """Rows of items and of sessions."""
        with answering("fast memory"), self._client.pipeline(transaction=True) as pipe:
            pipe.llen(self._keys.memory_ids(generation))
            pipe.hlen(self._keys.memory_sessions(generation))
            items, sessions = pipe.execute()
        return int(items), int(sessions)

    def look(
        self,
        generation: int,
        first_id: int,
        items: Sequence[int] = (),
        sessions: Sequence[int] = (),
    ) -> Look:
        """State, the ids from row `first_id` on, and these rows, all as of one moment.

        A row that is not there is left out, as all are when the generation is meant no more.
        """
        keys = self._keys
        with answering("fast memory"), self._client.pipeline(transaction=True) as pipe:
            pipe.hgetall(keys.memory)
            pipe.lrange(keys.memory_ids(generation), first_id, -1)
            for key, rows in (
                (keys.memory_items(generation), items),
                (keys.memory_sessions(generation), sessions),
            ):
                if rows:
                    pipe.hmget(key, [str(row) for row in rows])
            state, ids, *found = pipe.execute()
        packed = iter(found)
        return Look(
            _state(state),
            tuple(one.decode() for one in ids),
            _there(items, next(packed)) if items else {},
            _there(sessions, next(packed)) if sessions else {},
        )

    def chunks(self, generation: int, num_items: int, num_sessions: int) -> Iterator[Look]:
        """All rows of a generation, some hundred at a time, ids first."""
        found = self.look(generation, 0)
        known = len(found.ids)
        yield found
        for start in range(0, max(num_items, num_sessions), _CHUNK):
            rows = range(start, min(start + _CHUNK, num_items))
            slots = range(start, min(start + _CHUNK, num_sessions))
            found = self.look(generation, known, rows, slots)
            known += len(found.ids)
            yield found

    def changes_since(self, state: MemoryState, most: int) -> list[Change] | None:
        """What commits after `state` have written, the oldest first.

        Returns:
            None when that is not told any more, or `state` was never one of this memory's.
        """
        with answering("fast memory"):
            found = self._client.xrange(
                self._keys.memory_changes, min=f"{state.commit}-0", count=most + 1
            )
        told = cast(list[tuple[bytes, dict[bytes, bytes]]], found)
        changes = [msgspec.msgpack.decode(fields[b"c"], type=Change) for _, fields in told]
        if not changes or changes[0].mark != state.mark:
            return None
        return changes[1:]

    def held_until(self, hold_ms: int) -> Position | None:
        """The log is not to be trimmed beyond this position, or the memory would miss events.

        Args:
            hold_ms: what came in longer ago is not waited for.

        Returns:
            None when nobody keeps a memory here.
        """
        state = self.state()
        if state is None or not state.generation:
            return None
        with answering("fast memory"):
            seconds, microseconds = self._client.time()
        now = seconds * 1_000 + microseconds // 1_000
        return max(state.position, Position(max(now - hold_ms, 0), 0))

    def size_bytes(self) -> int:
        """Memory that it takes on the server, as the server estimates it."""
        state = self.state()
        generation = 0 if state is None else state.generation
        with answering("fast memory"):
            return sum(
                self._client.memory_usage(key) or 0
                for key in (*self._of(generation), *self._streams)
            )

    @property
    def _streams(self) -> tuple[str, str]:
        return self._keys.memory_changes, self._keys.memory_lessons

    def _of(self, generation: int) -> tuple[str, str, str]:
        keys = self._keys
        return (
            keys.memory_items(generation),
            keys.memory_sessions(generation),
            keys.memory_ids(generation),
        )

    def _drop(self, generation: int) -> None:
        with answering("fast memory"):
            self._client.unlink(*self._of(generation))

    def _write(
        self,
        before: MemoryState,
        generation: int,
        written: Written,
        after: MemoryState | None = None,
        change: Change | None = None,
    ) -> None:
        args: list[str | bytes | int] = [before.epoch, before.commit, written.num_items]
        args += [self._changes, 0 if after is None else 3, len(written.ids)]
        args += [len(written.items), len(written.sessions), len(written.lessons)]
        begins = after is not None and after.position == START
        args.append(-1 if begins else self._lessons)
        if after is not None:
            args += ["generation", after.generation, "commit", after.commit]
            args += ["state", msgspec.json.encode(after)]
        args += written.ids
        for rows in (written.items, written.sessions):
            for row, data in rows.items():
                args += [row, data]
        for name, data in written.lessons:
            args += [name, data]
        if after is not None:
            args += [after.commit, msgspec.msgpack.encode(change)]
        keys = [self._keys.memory, *self._of(generation), *self._streams]
        with answering("fast memory"):
            if not self._commit(keys=keys, args=args):
                raise StaleMemory("the fast memory has been written by another process")


def in_parts(
    num_items: int,
    slots: Sequence[int],
    ids: Sequence[str],
    item: Callable[[int], bytes],
    session: Callable[[int], bytes],
) -> Iterator[Written]:
    """A whole memory, some hundred rows at a time.

    Args:
        item, session: give the bytes of a row.
    """
    for start in range(0, num_items, _CHUNK):
        rows = range(start, min(start + _CHUNK, num_items))
        some = {row: item(row) for row in rows}
        yield Written(some, {}, ids[start : start + _CHUNK], num_items=start)
    for start in range(0, len(slots), _CHUNK):
        packed = {slot: session(slot) for slot in slots[start : start + _CHUNK]}
        yield Written({}, packed, num_items=num_items)


def _state(found: Mapping[bytes, bytes]) -> MemoryState | None:
    """What the hash says; of one that no reader of ours can tell, no more than whose it is."""
    if not found:
        return None
    names = (b"epoch", b"generation", b"commit")
    epoch, generation, commit = (int(found.get(name, 0)) for name in names)
    try:
        told = msgspec.json.decode(found.get(b"state", b"{}"), type=MemoryState)
    except msgspec.DecodeError:
        return MemoryState(epoch, generation, commit, format=0)
    return replace(told, epoch=epoch, generation=generation, commit=commit)


def _there(rows: Sequence[int], packed: Sequence[bytes | None]) -> dict[int, bytes]:
    found = zip(rows, packed, strict=True)
    return {row: data for row, data in found if data is not None}
