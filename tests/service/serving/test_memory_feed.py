"""A replica's mirror: what the keeper has written, whole rows, in the ranking thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from models.memory.memory import SLOW
from service.errors import CorruptEntry, Unavailable
from service.serving.memory_feed import MemoryFeed
from service.serving.ranker import Ranker
from service.settings import Settings
from service.storage import connections
from service.storage.keys import Keys
from service.storage.memory import MemoryStore
from service.telemetry import Metrics
from tests.conftest import ValkeyServer
from tests.service.learner.world import clicks, post
from tests.service.memory.world import World, assert_alike, opened, rows, settings_of, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path, redis_url: str, sqlite_url: str, keys: Keys) -> Iterator[World]:
    settings = settings_of(tmp_path / "data", redis_url, sqlite_url, keys.namespace)
    with opened(settings) as world:
        yield world


async def directly(work: Callable[[], None]) -> None:
    work()


def feed_of(world: World, settings: Settings | None = None) -> MemoryFeed:
    settings = settings or world.settings
    return MemoryFeed(world.stores.memory, settings.memory.config(), directly)


async def told(world: World, count: int, seed: int) -> None:
    await asyncio.to_thread(post, world.settings, clicks(count, seed=seed))


def assert_level(feed: MemoryFeed, world: World) -> None:
    memory, items = world.stored()
    assert feed.items.ids == items.ids
    assert rows(feed.memory) == rows(memory)
    assert feed.memory.sessions.slots == memory.sessions.slots


async def test_a_mirror_loads_once_and_then_follows_to_the_bit(world: World) -> None:
    feed = feed_of(world)
    await feed.follow()
    assert feed.items.ids == []
    assert feed.age_s() is not None
    keeper = world.keeper()
    for seed in range(4):
        await told(world, 80, seed)
        settle(keeper)
        leaders = feed.memory.leaders(SLOW, 5)
        await feed.follow()
        assert_level(feed, world)
        assert len(feed.memory.leaders(SLOW, 5)[0]) == 5 != len(leaders[0]) or seed
    assert feed.loads == 1
    late = feed_of(world)
    await late.follow()
    assert_alike((feed.memory, feed.items), (late.memory, late.items))
    assert feed.memory.leaders(SLOW, 5)[0].tolist() == late.memory.leaders(SLOW, 5)[0].tolist()


async def test_a_mirror_that_is_too_far_behind_loads_anew(world: World) -> None:
    few = MemoryStore(world.stores.client, world.stores.keys, changes=2)
    world.stores.memory = few
    keeper, feed = world.keeper(), feed_of(world)
    settle(keeper)
    for seed, loads in ((0, 1), (1, 1), (2, 2)):
        for part in range(4 if loads == 2 else 1):
            await told(world, 10, 10 * seed + part)
            settle(keeper)
        await feed.follow()
        assert_level(feed, world)
        assert feed.loads == loads


async def test_rows_are_written_in_the_ranking_thread_alone(world: World) -> None:
    ranker, threads = Ranker(Metrics()), set[str]()

    async def between(work: Callable[[], None]) -> None:
        def watched() -> None:
            threads.add(threading.current_thread().name)
            before = rows(feed.memory)
            work()
            assert feed.memory.num_items == len(feed.items)
            assert before is not None

        await ranker.between(watched)

    feed = MemoryFeed(world.stores.memory, world.settings.memory.config(), between)
    keeper = world.keeper()
    settle(keeper)
    await feed.follow()
    await told(world, 400, 1)
    settle(keeper)
    await feed.follow()
    await ranker.close()
    assert_level(feed, world)
    assert threads == {"ranking_0"}


async def test_compaction_under_load_reloads_and_rows_and_ids_belong_together(
    tmp_path: Path, redis_url: str, sqlite_url: str, keys: Keys
) -> None:
    settings = settings_of(
        tmp_path / "data", redis_url, sqlite_url, keys.namespace, max_items=25, batch_events=20
    )
    stop = threading.Event()
    with opened(settings) as world:

        def keep() -> None:
            keeper = world.keeper()
            while not stop.is_set():
                keeper.turn()

        thread = threading.Thread(target=keep)
        thread.start()
        feed = feed_of(world)
        try:
            for seed in range(8):
                await told(world, 50, seed)
                for _ in range(4):
                    mirror = feed.mirror
                    await feed.follow()
                    assert mirror.memory.num_items == len(mirror.items)
            state = world.stores.memory.state()
            until = time.monotonic() + 10
            while (state is None or state.events < 400) and time.monotonic() < until:
                await asyncio.sleep(0.02)
                state = world.stores.memory.state()
        finally:
            stop.set()
            thread.join()
        await feed.follow()
        assert_level(feed, world)
        assert feed.loads > 1
        events = sum(feed.memory.counts.events[: len(feed.items)])
        assert 0 < events <= 400


async def test_a_wiped_server_empties_the_mirror_and_another_memory_fills_it(world: World) -> None:
    feed, keeper = feed_of(world), world.keeper()
    await told(world, 50, 1)
    settle(keeper)
    await feed.follow()
    names = list(world.stores.client.scan_iter(f"{world.stores.keys.prefix}:*"))
    world.stores.client.delete(*names)
    await feed.follow()
    assert feed.items.ids == []
    await told(world, 50, 2)
    for _ in range(3):
        settle(keeper)
    await feed.follow()
    assert_level(feed, world)


async def test_a_server_that_is_gone_leaves_the_mirror_as_it_is(
    own_valkey: ValkeyServer, tmp_path: Path, sqlite_url: str, keys: Keys
) -> None:
    settings = settings_of(tmp_path / "data", own_valkey.url, sqlite_url, keys.namespace)
    with opened(settings) as world:
        await told(world, 50, 1)
        settle(world.keeper())
        with connections.connect(own_valkey.url, timeout_s=0.5) as client:
            store = MemoryStore(client, world.stores.keys)
            feed = MemoryFeed(store, settings.memory.config(), directly)
            await feed.follow()
            before = rows(feed.memory)
            own_valkey.stop()
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await feed.follow()
            assert rows(feed.memory) == before
            age_s = feed.age_s()
            assert age_s is not None
            await asyncio.sleep(0.05)
            assert (feed.age_s() or 0.0) >= age_s + 0.04


async def test_a_row_that_is_none_makes_the_mirror_load_anew(
    world: World, redis_client: redis.Redis
) -> None:
    feed, keeper = feed_of(world), world.keeper()
    await told(world, 50, 1)
    settle(keeper)
    await feed.follow()
    await told(world, 50, 2)
    settle(keeper)
    state = world.stores.memory.state()
    assert state is not None
    key = world.stores.keys.memory_items(state.generation)
    good = redis_client.hget(key, "0")
    redis_client.hset(key, "0", b"junk")
    with pytest.raises(CorruptEntry, match="item"):
        await feed.follow()
    assert good is not None
    redis_client.hset(key, "0", good)
    await feed.follow()
    assert_level(feed, world)
    assert feed.loads == 2
