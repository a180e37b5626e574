"""The keeper's turn: take in what the log has, count it, write what has changed.

What it holds in memory is what the store holds; after a refusal or an error it is read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog

from models.content.neighbours import ContentIndex
from models.content.texts import Shelf
from models.memory.memory import SPARED, FastMemory, Observed
from models.memory.packing import FORMAT, pack_item, pack_session
from models.mixing.blend import Blend
from models.vocabulary import Vocabulary
from service.domain.interactions import START
from service.domain.weights import EventWeights
from service.errors import StaleMemory
from service.memory.answers import Answers
from service.memory.intake import Intake, Repeats, Signal, Taken
from service.memory.lessons import Recorder
from service.memory.opening import rows_of
from service.memory.status import State, Status
from service.memory.steps import (
    BUILT,
    COUNTED,
    OPENED,
    READ,
    RENEWED,
    SWEPT,
    WRITTEN,
    Reached,
    go_on,
)
from service.memory.stores import Stores
from service.settings import Settings
from service.storage.hashing import user_key
from service.storage.memory import MemoryState, Written, in_parts

log = structlog.get_logger()

_WEIGH_S = 10.0


@dataclass(slots=True)
class Held:
    """What the store holds, as it was read or written last."""

    state: MemoryState
    memory: FastMemory
    items: Vocabulary
    repeats: Repeats
    intake: Intake


class Keeper:
    """Keeps the fast memory of one log, if nobody else does.

    Args:
        stores: where everything is kept.
        settings: the process's settings.
        status: what it says about itself.
        content: what items say of themselves, as far as it has been read; None where nobody reads.
        reached: called at each named step; fault tests interrupt there.
    """

    def __init__(
        self,
        stores: Stores,
        settings: Settings,
        status: Status,
        *,
        content: Callable[[], ContentIndex] | None = None,
        reached: Reached = go_on,
    ) -> None:
        self._stores, self._settings, self._status = stores, settings, status
        self._weights = EventWeights(settings.event_types, settings.positive_from)
        self._config = settings.memory.config()
        self._recorder = Recorder(
            Blend.of(settings.serving.sources),
            settings.memory,
            Answers(stores, settings.online),
            None if content is None else Shelf(content, settings.content.few_events),
        )
        self._reached = reached
        self._held: Held | None = None
        self._fenced = False
        self._epoch = 0
        self._weighed_s = float("-inf")

    def turn(self) -> bool:
        """One turn.

        Returns:
            Whether there may be more to take in at once; when not, the caller may pause.

        Raises:
            Unavailable: a store does not answer; so do errors of the file system.
        """
        if self._fenced and self._status.is_another_alive():
            return False
        try:
            held = self._held or self._open()
            return self._remember(held)
        except StaleMemory as error:
            self._stale(error)
            return False

    def forget(self) -> None:
        """Drop what is in memory; the store knows better."""
        self._held = None

    def _open(self) -> Held:
        """Become the keeper, and read what the one before has kept.

        A memory of another log, or of another release's form, is begun anew.
        """
        stores = self._stores
        stores.secret()  # nothing can be counted without it
        state = stores.memory.take()
        self._epoch = state.epoch
        incarnation = stores.log.incarnation()
        held, fits = self._read(state, incarnation)
        if fits:
            stores.memory.sweep(state)
        else:
            self._renew(held, state)
        held.repeats.read(stores.archive, stores.log, held.state.position)
        self._fenced = False
        self._held = held
        self._reached(OPENED)
        return held

    def _read(self, state: MemoryState, incarnation: str) -> tuple[Held, bool]:
        """What is stored, or an empty memory; and whether it stands in the store like that."""
        reason = _why_anew(state, incarnation, self._stores)
        if reason is None:
            try:
                memory, items, fits = rows_of(self._stores.memory, state, self._config)
                return self._hold(state, memory, items), fits
            except ValueError as error:
                reason = f"it cannot be read: {error}"
        log.warning("the fast memory begins anew", reason=reason)
        fresh = MemoryState(state.epoch, state.generation, state.commit, incarnation=incarnation)
        return self._hold(fresh, FastMemory(self._config), Vocabulary()), False

    def _stale(self, error: StaleMemory) -> None:
        """Stand by when another has taken over; after a wiped or restored server, read again."""
        self.forget()
        state = self._stores.memory.state()
        if state is not None and state.epoch > self._epoch:
            self._status.turn(State.STANDBY, str(error))
            self._fenced = True

    def _hold(self, state: MemoryState, memory: FastMemory, items: Vocabulary) -> Held:
        repeats = Repeats(self._settings.log)
        intake = Intake(self._stores.log, repeats, self._weights)
        return Held(state, memory, items, repeats, intake)

    def _remember(self, held: Held) -> bool:
        """Take in what the log has, up to a batch of it, and write what it changes."""
        log_, before = self._stores.log, held.state
        most = self._settings.memory.batch_events
        lost = log_.missing(before.position, before.total)
        if lost:
            log.warning("the log has dropped events that were not remembered", events=lost)
        taken = held.intake.take(before.position, most)
        if taken is None:
            self._check_is_ours(before)
            self._say(held, 0)
            return False
        self._reached(READ)
        written = self._count(held, taken.signals)
        self._reached(COUNTED)
        total = log_.total_at(taken.position)
        after = _after(before, taken, total, lost)
        self._held = None  # until it is known to be written
        held.state = self._stores.memory.commit(before, after, written)
        self._held = held
        self._reached(WRITTEN)
        if held.memory.is_full:
            self._renew(held, held.state)
        lag = max(log_.total() - total, 0)
        self._say(held, lag)
        return lag > 0

    def _check_is_ours(self, before: MemoryState) -> None:
        """With nothing to write, look whether one could."""
        state = self._stores.memory.state()
        if state is None or (state.epoch, state.commit) != (before.epoch, before.commit):
            raise StaleMemory("the fast memory has been written by another process")

    def _count(self, held: Held, signals: Sequence[Signal]) -> Written:
        """Count the events; the rows that they change, and what there is to learn from them."""
        if not signals:
            return Written(num_items=len(held.items))
        known, secret = len(held.items), self._stores.secret()
        users = [user_key(secret, signal.event.user_id) for signal in signals]
        events = Observed(
            users=np.array(users, dtype=np.uint64),
            items=held.items.grow(signal.event.item_id for signal in signals),
            times=np.array([signal.event.time_ms / 1_000 for signal in signals]),
            weights=np.array([signal.weight for signal in signals]),
        )
        memory = held.memory
        lessons = self._recorder.lessons(memory, held.items, signals, events)
        touched = memory.observe(events)
        return Written(
            items={row: pack_item(memory, row) for row in touched.items.tolist()},
            sessions={slot: pack_session(memory, slot) for slot in touched.sessions.tolist()},
            ids=held.items.ids[known:],
            num_items=known,
            lessons=lessons,
        )

    def _renew(self, held: Held, stored: MemoryState) -> None:
        """Write all of it as another generation, without the items that are too many.

        Args:
            stored: what the store holds now.
        """
        if held.memory.is_full:
            started = time.monotonic()
            most = max(1, int(SPARED * self._config.max_items))
            memory, kept = held.memory.compacted(most)
            items = Vocabulary(held.items.id(row) for row in kept.tolist())
            dropped = len(held.items) - len(items)
            held.memory, held.items = memory, items
            log.info("the fast memory is compacted", dropped=dropped, items=len(items))
            self._status.say(compacted_s=round(time.monotonic() - started, 2))
        self._held = None
        parts = in_parts(
            held.memory.num_items,
            sorted(held.memory.sessions.slots.values()),
            held.items.ids,
            lambda row: pack_item(held.memory, row),
            lambda slot: pack_session(held.memory, slot),
        )
        generation = self._stores.memory.begin(stored, parts)
        self._reached(BUILT)
        after = replace(held.state, generation=generation, epoch=stored.epoch)
        nothing = Written(num_items=len(held.items))
        held.state = self._stores.memory.commit(stored, after, nothing)
        self._reached(RENEWED)
        self._stores.memory.sweep(held.state)
        self._held = held
        self._reached(SWEPT)

    def _say(self, held: Held, lag: int) -> None:
        state = held.state
        self._status.turn(State.KEEPING)
        self._status.say(
            position=str(state.position),
            lag_events=lag,
            generation=state.generation,
            epoch=state.epoch,
            items=held.memory.num_items,
            sessions=len(held.memory.sessions.slots),
            events=state.events,
            repeats=state.repeats,
            undecodable=state.undecodable,
            lost_events=state.lost,
            dedupe_ids=len(held.repeats),
            dedupe_from_ms=held.repeats.reach_ms,
        )
        if time.monotonic() - self._weighed_s > _WEIGH_S:
            self._weighed_s = time.monotonic()
            self._status.say(bytes=self._stores.memory.size_bytes())


def _after(before: MemoryState, taken: Taken, total: int, lost: int) -> MemoryState:
    return replace(
        before,
        position=taken.position,
        total=total,
        events=before.events + taken.events - taken.repeats,
        repeats=before.repeats + taken.repeats,
        undecodable=before.undecodable + taken.undecodable,
        lost=before.lost + lost,
    )


def _why_anew(state: MemoryState, incarnation: str, stores: Stores) -> str | None:
    """Why what is stored cannot be gone on with; None when it can."""
    if not state.generation:
        return "there is none yet"
    if state.format != FORMAT:
        return f"it is of format {state.format}, not {FORMAT}"
    if state.incarnation != incarnation:
        return "the event log is another one"
    if state.position != START and stores.log.last() < state.position:
        return "the event log ends before what was remembered"
    return None
