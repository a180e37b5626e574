"""A keeper over real stores, and a slow look at what it should have kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.memory.memory import FastMemory, Observed
from models.memory.packing import pack_item, pack_session
from models.vocabulary import Vocabulary
from service.domain.interactions import START, Interaction, Position
from service.domain.weights import EventWeights
from service.memory.keeper import Keeper
from service.memory.opening import rows_of
from service.memory.status import Status
from service.memory.stores import Stores, open_stores
from service.sections import MemorySettings
from service.settings import Settings
from service.storage.hashing import user_key
from service.storage.lessons import Lessons, Told

SMALL: dict[str, Any] = {"max_items": 500, "width": 200, "sessions": 100, "session_length": 20}


def settings_of(
    data_dir: Path, redis_url: str, database_url: str, namespace: str, **memory: Any
) -> Settings:
    """Settings under which no row is ever full, so that batches change nothing but rounding."""
    return Settings(
        _env_file=None,
        data_dir=data_dir,
        redis_url=redis_url,
        database_url=database_url,
        namespace=namespace,
        memory=MemorySettings(**{**SMALL, **memory}),
    )


@dataclass
class World:
    """The stores and a keeper over them."""

    settings: Settings
    stores: Stores

    def keeper(self, life_ms: int = 10_000, **replaced: Any) -> Keeper:
        """A keeper as the process would build it; its heartbeat is `keeper._status`."""
        status = Status(self.stores.client, self.stores.keys, life_ms=life_ms)
        return Keeper(self.stores, self.settings, status, **replaced)

    def stored(self) -> tuple[FastMemory, Vocabulary]:
        """What the store holds, put together."""
        state = self.stores.memory.state()
        if state is None:
            raise ValueError("there is none")
        memory, items, _ = rows_of(self.stores.memory, state, self.settings.memory.config())
        return memory, items

    def expected(self, events: Sequence[Interaction]) -> tuple[FastMemory, Vocabulary]:
        """What a memory holds that saw all events at once."""
        weights = EventWeights(self.settings.event_types, self.settings.positive_from)
        secret, items = self.stores.registry.secret(), Vocabulary()
        weighed = [(event, weights.weight(event.type, event.value)) for event in events]
        good = [(event, weight) for event, weight in weighed if weight > 0]
        memory = FastMemory(self.settings.memory.config())
        memory.observe(
            Observed(
                np.array([user_key(secret, e.user_id) for e, _ in good], dtype=np.uint64),
                items.grow(e.item_id for e, _ in good),
                np.array([e.time_ms / 1_000 for e, _ in good]),
                np.array([weight for _, weight in good]),
            )
        )
        return memory, items


@contextmanager
def opened(settings: Settings) -> Iterator[World]:
    with open_stores(settings) as stores:
        yield World(settings, stores)


def settle(keeper: Keeper, turns: int = 100) -> None:
    """Turn until there is nothing to do.

    Raises:
        TimeoutError: there always was.
    """
    for _ in range(turns):
        if not keeper.turn():
            return
    raise TimeoutError(f"still at work after {turns} turns")


END = Position(2**60, 0)


def told(
    world: World, after: Position = START, until: Position = END, most: int = 10**6
) -> list[Told]:
    """The lessons that the stream holds."""
    return Lessons(world.stores.client, world.stores.keys).between(after, until, most)


def rows(memory: FastMemory) -> dict[tuple[str, int], bytes]:
    """All rows as they are stored."""
    items = {("item", row): pack_item(memory, row) for row in range(memory.num_items)}
    slots = memory.sessions.slots.values()
    return items | {("session", slot): pack_session(memory, slot) for slot in slots}


def assert_alike(
    found: tuple[FastMemory, Vocabulary], expected: tuple[FastMemory, Vocabulary]
) -> None:
    """The same items, sessions to the bit, and sums up to rounding."""
    (one, items), (other, others) = found, expected
    assert items.ids == others.ids
    size = len(items)
    assert {key: row for key, row in rows(one).items() if key[0] == "session"} == {
        key: row for key, row in rows(other).items() if key[0] == "session"
    }
    assert list(one.sessions.slots.items()) == list(other.sessions.slots.items())
    assert np.allclose(one.counts.values[:size], other.counts.values[:size], rtol=1e-9)
    assert np.array_equal(one.counts.times[:size], other.counts.times[:size])
    assert np.array_equal(one.counts.events[:size], other.counts.events[:size])
    for name in ("covisits", "rules"):
        mine, yours = dense(getattr(one, name), size), dense(getattr(other, name), size)
        assert np.allclose(mine, yours, rtol=1e-4, atol=1e-12), name


def dense(graph: Any, size: int) -> np.ndarray[Any, Any]:
    """Weights [N, N]."""
    full = np.zeros((size, size + 1))
    rows_ = np.arange(size)[:, None]
    full[rows_, graph.neighbours[:size]] = graph.weights[:size]
    return full[:, :size]
