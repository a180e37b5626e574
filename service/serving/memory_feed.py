"""A replica's mirror of the fast memory, a fraction of a second behind the log.

Threads: the mirror's arrays belong to the ranking thread, which alone writes them, between two
batches of answers; so no answer sees half a row, and none sees a row change. Rows are fetched and
decoded elsewhere, into bytes that nobody else holds. A mirror that is loaded anew is built apart,
in a worker thread, and takes the place of the other in one assignment in the ranking thread; for as
long both are in memory. Other threads may look up rows and ids in `items`, which only grows: a row
is written when its id is told. Take `mirror` once per batch.

Each row is as one commit has left it; while a large commit is taken over in parts, other rows may
still be as the one before has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory
from models.memory.packing import FORMAT, put_items, put_sessions
from models.vocabulary import Vocabulary
from service.errors import CorruptEntry, Unavailable
from service.logs import get_logger
from service.storage.memory import Look, MemoryState, MemoryStore

_COMMITS = 64
_ROWS = 250
"""Rows that are taken over between two batches of answers: some milliseconds' worth."""
_ATTEMPTS = 5

log = get_logger("memory")


@dataclass(frozen=True, slots=True)
class Mirror:
    """The memory and which items its rows are."""

    memory: FastMemory
    items: Vocabulary


@dataclass(frozen=True, slots=True)
class _Loaded:
    mirror: Mirror
    state: MemoryState | None


@dataclass(frozen=True, slots=True)
class _Followed:
    parts: tuple[Look, ...]
    state: MemoryState
    is_all: bool


class MemoryFeed:
    """Loads the memory, then follows its changes.

    Args:
        store: where it is kept.
        config: the bounds it is kept under.
        between: runs work in the ranking thread between two batches.
    """

    def __init__(
        self,
        store: MemoryStore,
        config: MemoryConfig,
        between: Callable[[Callable[[], None]], Awaitable[None]],
    ) -> None:
        self._store = store
        self._config = config
        self._between = between
        self._mirror = Mirror(FastMemory(config), Vocabulary())
        self._state: MemoryState | None = None
        self._followed_s: float | None = None
        self._loads = 0

    @property
    def mirror(self) -> Mirror:
        """The memory and its items, which belong together."""
        return self._mirror

    @property
    def memory(self) -> FastMemory:
        """For the ranking thread."""
        return self._mirror.memory

    @property
    def items(self) -> Vocabulary:
        return self._mirror.items

    @property
    def commit(self) -> int:
        """The last commit that has been taken over; 0 while nothing is kept."""
        return 0 if self._state is None else self._state.commit

    @property
    def loads(self) -> int:
        """How often the whole memory was loaded."""
        return self._loads

    def age_s(self) -> float | None:
        """Seconds since the mirror was last level with the store, None before the first time."""
        return None if self._followed_s is None else time.monotonic() - self._followed_s

    async def follow(self) -> None:
        """Take over what has been written since the last call; one call at a time.

        Raises:
            Unavailable: the store does not answer; the mirror stays as it is.
            CorruptEntry: some bytes there are no row; the next call loads all of it anew.
        """
        try:
            while True:
                started = time.monotonic()
                if await self._step():
                    self._followed_s = started
                    return
        except ValueError as error:
            raise CorruptEntry(f"the fast memory cannot be read: {error}") from error

    async def _step(self) -> bool:
        """Look once and take over what is found; whether the mirror is level then."""
        found = await asyncio.to_thread(self._look)
        if isinstance(found, _Loaded):
            await self._between(partial(self._replace, found))
            return False
        if found is not None:
            await self._take_over(found)
        return found is None or found.is_all

    async def _take_over(self, found: _Followed) -> None:
        self._state = None  # load anew if this comes to nothing
        for part in found.parts:
            await self._between(partial(self._apply, part))
        self._state = found.state

    def _replace(self, loaded: _Loaded) -> None:
        self._mirror, self._state = loaded.mirror, loaded.state

    def _apply(self, part: Look) -> None:
        memory, items = self._mirror.memory, self._mirror.items
        memory.grow(len(items) + len(part.ids))
        items.grow(part.ids)
        put_items(memory, part.items)
        room = memory.sessions.capacity
        put_sessions(memory, {at: row for at, row in part.sessions.items() if at < room})

    def _look(self) -> _Loaded | _Followed | None:
        """What has to be done; None for a mirror that is level with the store."""
        state = self._state
        if state is None:
            return self._load()
        changes = self._store.changes_since(state, _COMMITS)
        if changes is None or any(one.generation != state.generation for one in changes):
            return self._load()
        if not changes:
            return None
        items = sorted({row for one in changes for row in one.items})
        sessions = sorted({slot for one in changes for slot in one.sessions})
        parts = self._rows(state, items, sessions)
        if parts is None:
            return self._load()
        reached = replace(state, commit=state.commit + len(changes), mark=changes[-1].mark)
        return _Followed(parts, reached, len(changes) < _COMMITS)

    def _rows(
        self, state: MemoryState, items: list[int], sessions: list[int]
    ) -> tuple[Look, ...] | None:
        """The rows with all ids that they may name; None when they are meant no more."""
        parts: list[Look] = []
        known = len(self._mirror.items)
        for start in range(0, max(len(items), len(sessions), 1), _ROWS):
            here = slice(start, start + _ROWS)
            part = self._store.look(state.generation, known, items[here], sessions[here])
            if part.state is None or part.state.generation != state.generation:
                return None
            known += len(part.ids)
            parts.append(part)
        return tuple(parts)

    def _load(self) -> _Loaded | None:
        """The whole memory as it stands; None where there is none, and none here either."""
        for _ in range(_ATTEMPTS):
            state = self._store.state()
            if state is None or not state.generation or state.format != FORMAT:
                if self._state is None and not len(self._mirror.items):
                    return None
                return _Loaded(Mirror(FastMemory(self._config), Vocabulary()), None)
            mirror = self._read(state)
            if mirror is not None:
                self._loads += 1
                log.info("the fast memory is loaded", items=len(mirror.items))
                return _Loaded(mirror, state)
        raise Unavailable("fast memory: it is written anew more quickly than it can be loaded")

    def _read(self, state: MemoryState) -> Mirror | None:
        """All rows, those written meanwhile included; None when another generation is meant."""
        mirror = Mirror(FastMemory(self._config), Vocabulary())
        sessions: dict[int, bytes] = {}
        for part in self._store.chunks(state.generation, *self._store.sizes(state.generation)):
            if part.state is None or part.state.generation != state.generation:
                return None
            mirror.memory.grow(len(mirror.items) + len(part.ids))
            mirror.items.grow(part.ids)
            put_items(mirror.memory, part.items)
            sessions.update(part.sessions)
        put_sessions(mirror.memory, sessions)
        return mirror
