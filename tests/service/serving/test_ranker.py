"""Admission, fairness, filling and explaining: what one request may cost another."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest
import redis
import torch

from models.vocabulary import Vocabulary
from service.domain.catalogue import Item
from service.domain.interactions import START
from service.domain.recommendations import LATEST, Query, Recommendation
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.errors import Overloaded
from service.sections import ServingSettings
from service.serving import ranker as ranking
from service.serving.answering import Task
from service.serving.backlog import Backlog
from service.serving.catalogue import CatalogueView
from service.serving.catalogue_feed import CatalogueFeed
from service.serving.filling import Scene, fill
from service.serving.lists import FallbackLists, ListsFeed
from service.serving.model import ServingModel
from service.serving.ranker import Ranker
from service.serving.recommender import Recommender
from service.serving.rules import Eligibility
from service.settings import Settings
from service.storage import connections
from service.storage.history import HistoryStore
from service.storage.keys import Keys
from service.storage.popularity import PopularityStore
from service.telemetry import Metrics

RECORD = VersionRecord(2, 1, VersionStatus.ACTIVE, Origin.INCREMENTAL, START, "", 0)
EMPTY = ServingModel.empty(RECORD)


def tasks(count: int, *, explain: bool = False) -> list[Task]:
    lists = FallbackLists(trending=tuple((f"i{number}", 1.0) for number in range(20)))
    scene = Scene(EMPTY, CatalogueView(), lists, ())
    query = Query(limit=5, explain=explain)
    return [Task(scene, query, "fallback", Eligibility(scene.view))] * count


def test_batches_at_once_are_answered_or_refused_as_a_whole() -> None:
    async def ask() -> list[list[Recommendation] | BaseException]:
        ranker = Ranker(Metrics())
        asked = [ranker.answer(tasks(1_000)) for _ in range(6)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        again = await ranker.answer(tasks(1_000))
        assert len(again) == 1_000
        await ranker.close()
        return found

    found = asyncio.run(ask())
    answered = [one for one in found if not isinstance(one, BaseException)]
    assert [len(one) for one in answered] == [1_000] * (ranking.MAX_WAITING // 1_000)
    assert all(answer.degraded == () for one in answered for answer in one)
    refused = [one for one in found if isinstance(one, BaseException)]
    assert {type(one) for one in refused} == {Overloaded}


def test_a_request_of_one_does_not_wait_for_a_batch_before_it() -> None:
    async def ask() -> list[str]:
        ranker, ended = Ranker(Metrics()), []

        async def one(name: str, count: int, explain: bool = False) -> None:
            await ranker.answer(tasks(count, explain=explain))
            ended.append(name)

        await asyncio.gather(one("explained", 50, True), one("many", 1_000), one("one", 1))
        await ranker.close()
        return ended

    assert asyncio.run(ask())[0] == "one"


def test_filling_over_a_hidden_catalogue_costs_what_it_returns() -> None:
    ids = [f"item-{number}" for number in range(40_000)]
    view = CatalogueView().with_items(
        [Item(name, available=number % 800 == 0, revision=1) for number, name in enumerate(ids)]
    )
    model = ServingModel(
        2, None, 1, Vocabulary(ids), Vocabulary(), torch.zeros(0, 1),
        EMPTY.index, None, False,
    )  # fmt: skip
    scene, backlog = Scene(model, view, FallbackLists(), ()), Backlog()
    query, eligible = Query(limit=200), Eligibility(view)
    assert len(fill(scene, query, eligible, [], None, backlog)) == 50
    started = time.process_time()
    for _ in range(50):
        fill(scene, query, eligible, [], LATEST, backlog)
    assert time.process_time() - started < 0.5  # walking all of it takes 30 ms each


@pytest.mark.parametrize("hidden", [0, 5_990])
def test_an_item_named_long_ago_is_reached_when_all_lists_run_out(
    redis_url: str, redis_client: redis.Redis, hidden: int
) -> None:
    keys = Keys(f"test-{uuid.uuid4().hex[:12]}")
    redis_client.zadd(keys.first_seen, {f"i{number:04}": number + 1 for number in range(6_000)})
    items = [Item(f"i{5_999 - at:04}", available=False, revision=1) for at in range(hidden)]

    async def ask() -> Recommendation:
        client = connections.connect_async(redis_url, timeout_s=5.0)
        ranker = Ranker(Metrics())
        feed = CatalogueFeed(lambda revision: items)
        feed.poll()
        lists = ListsFeed(PopularityStore(redis_client, keys), ServingSettings(lists_size=100))
        await lists.refresh()
        found = await Recommender(
            served=lambda: EMPTY,
            catalogue=feed,
            lists=lists,
            history=HistoryStore(client, keys),
            ranker=ranker,
            positive=lambda event: True,
            settings=Settings(_env_file=None),
        ).recommend([Query(limit=150)])
        await ranker.close()
        await client.aclose()
        return found[0]

    found = [item.item_id for item in asyncio.run(ask()).items]
    assert found == [f"i{5_999 - hidden - at:04}" for at in range(min(150, 6_000 - hidden))]
