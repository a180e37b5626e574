"""How often the lists are counted anew for answers that come out short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis
import redis.asyncio

from service.domain.catalogue import Item
from service.domain.interactions import START, Interaction
from service.domain.recommendations import Query
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.domain.weights import EventWeights
from service.sections import LogSettings, ServingSettings
from service.serving.catalogue_feed import CatalogueFeed
from service.serving.lists import ListsFeed
from service.serving.model import ServingModel
from service.serving.ranker import Ranker
from service.serving.recommender import Recommender
from service.settings import Settings
from service.storage.clock import now_ms
from service.storage.history import HistoryStore
from service.storage.ingest import Ingest
from service.storage.keys import Keys
from service.storage.popularity import PopularityStore
from service.telemetry import Metrics

pytestmark = pytest.mark.anyio

EMPTY = ServingModel.empty(
    VersionRecord(1, None, VersionStatus.ACTIVE, Origin.INITIAL, START, "", 0)
)
IN_A = [Item(f"a{number}", categories=("a",), revision=1) for number in range(5)]


class Counted(PopularityStore):
    """Counts how often it is asked for the popular list."""

    times = 0

    async def popular(self, window_h: int, size: int) -> list[tuple[str, float]]:
        self.times += 1
        return await super().popular(window_h, size)


class Replica:
    """What of a replica makes answers."""

    def __init__(
        self, client: redis.asyncio.Redis, waiting: redis.Redis, keys: Keys, ranker: Ranker
    ) -> None:
        self.popularity = Counted(waiting, keys)
        self.lists = ListsFeed(self.popularity, ServingSettings())
        self.ingest = Ingest(client, keys, LogSettings(), EventWeights({"click": 1.0}))
        feed = CatalogueFeed(lambda revision: IN_A)
        feed.poll()
        self.recommender = Recommender(
            served=lambda: EMPTY,
            catalogue=feed,
            lists=self.lists,
            history=HistoryStore(client, keys),
            ranker=ranker,
            positive=lambda event: True,
            settings=Settings(_env_file=None),
        )
        self._sent = 0

    async def click(self, item_id: str) -> None:
        """Take an event in as the api does."""
        self._sent += 1
        await self.ingest.append([Interaction("u", item_id, "click", now_ms(), str(self._sent))])
        self.lists.tell([item_id])

    async def ask(self, *categories: str) -> set[str]:
        """Items of an answer that always comes out short."""
        query = Query(limit=200, categories=frozenset(categories))
        (answer,) = await self.recommender.recommend([query])
        return {item.item_id for item in answer.items}


@pytest.fixture
async def replica(
    redis_async: redis.asyncio.Redis, redis_client: redis.Redis, keys: Keys
) -> AsyncIterator[Replica]:
    ranker = Ranker(Metrics())
    replica = Replica(redis_async, redis_client, keys, ranker)
    await replica.lists.refresh()
    yield replica
    await ranker.close()


async def test_a_short_category_is_not_counted_for(replica: Replica) -> None:
    for number in range(5):
        await replica.click(f"new{number}")
        assert await replica.ask("a") == {item.item_id for item in IN_A}
        for source in ("trending", "popular"):
            await replica.recommender.listed(source, Query(limit=200))
    assert replica.popularity.times == 1


async def test_an_item_just_named_is_in_the_next_answer(replica: Replica) -> None:
    for number in range(3):
        await replica.click(f"new{number}")
        assert f"new{number}" in await replica.ask()
    assert replica.popularity.times == 4


async def test_events_of_items_that_are_listed_make_no_count(replica: Replica) -> None:
    await replica.click("new")
    await replica.ask()
    for _ in range(10):
        await replica.click("new")
        assert "new" in await replica.ask()
    assert replica.popularity.times == 2


async def test_those_who_wait_share_a_count_and_counts_keep_their_distance(
    replica: Replica,
) -> None:
    started, named, asked = time.monotonic(), 0, 0

    async def client() -> None:
        nonlocal asked
        while time.monotonic() - started < 0.6:
            before = named
            found = await replica.ask()
            assert {f"new{number}" for number in range(before)} <= found
            asked += 1

    async def post() -> None:
        nonlocal named
        while time.monotonic() - started < 0.6:
            await replica.click(f"new{named}")
            named += 1
            await asyncio.sleep(0.005)

    await asyncio.gather(post(), *(client() for _ in range(8)))
    assert named > 10
    assert asked >= 8
    assert replica.popularity.times <= 2 + (time.monotonic() - started) / 0.1


async def test_a_short_answer_reads_all_there_is_in_a_few_readings(
    replica: Replica, redis_client: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.serving.lists._PAGE", 50)
    latest = now_ms()
    named = {f"old{number}": latest - number for number in range(9_000)}
    redis_client.zadd(keys.first_seen, named)
    await replica.lists.refresh()
    readings = 0
    while await replica.lists.reach_back(replica.lists.lists):
        readings += 1
    lists = replica.lists.lists
    assert [item for _, item in (*lists.first_seen, *lists.older)] == list(named)
    assert readings == 4
