"""A recommender over real stores, without the parts that follow them, and versions to serve."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import torch

from models.content.features import HashedTokens
from models.continual.state import LearningState
from models.continual.window import learn_window
from service.domain.catalogue import Item
from service.domain.interactions import START, Interaction
from service.domain.recommendations import Query, Recommendation, SimilarBy
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.domain.weights import EventWeights
from service.sections import ContentSettings, LogSettings, ServingSettings
from service.serving.catalogue_feed import CatalogueFeed
from service.serving.content import ContentFeed
from service.serving.exploring import Explorer
from service.serving.lists import ListsFeed
from service.serving.mixture import Mixture
from service.serving.model import ServingModel
from service.serving.ranker import Ranker
from service.serving.recommender import Recommender
from service.settings import Settings
from service.storage import connections
from service.storage.history import HistoryStore
from service.storage.ingest import Ingest
from service.storage.keys import Keys
from service.storage.popularity import PopularityStore
from service.telemetry import Metrics
from tests.service.publishing import clicks, small_config
from tests.service.serving.memories import key_of

LEARNED = [f"i{number}" for number in range(12)]
"""What the version of most tests has learned."""
WEIGHTS = EventWeights({"click": 1.0, "play": 1.0, "skip": 0.0})


def version_of(users: int, items: int) -> ServingModel:
    """Version 2, which has learned `clicks` of so many users on so many items."""
    torch.set_num_threads(1)
    state = LearningState.initial(small_config())
    state = learn_window(state, clicks(users, items), seed=0, draw=()).state
    record = VersionRecord(2, 1, VersionStatus.ACTIVE, Origin.INCREMENTAL, START, "", 0)
    return ServingModel.load(record, state.export())


@asynccontextmanager
async def recommending(
    redis_url: str,
    model: ServingModel,
    items: Sequence[Item],
    happened: Sequence[Interaction],
    lists_size: int = 1_000,
    explorer: Explorer | None = None,
    mixture: Mixture | None = None,
    repeatable: Sequence[str] = (),
) -> AsyncIterator[Recommender]:
    """A recommender on a clean namespace that `happened` was sent to."""
    keys = Keys(f"test-{uuid.uuid4().hex[:12]}")
    client = connections.connect_async(redis_url, timeout_s=5.0)
    waiting = connections.connect(redis_url)
    ranker = Ranker(Metrics(), mixture, explorer)
    try:
        if happened:
            await Ingest(client, keys, LogSettings(), WEIGHTS).append(happened)
        content = ContentFeed(ContentSettings(), Metrics(), HashedTokens())
        feed = CatalogueFeed(lambda revision: items, content.apply)
        feed.poll()
        serving = ServingSettings(lists_size=lists_size)
        lists = ListsFeed(PopularityStore(waiting, keys), serving)
        await lists.refresh()
        yield Recommender(
            served=lambda: model,
            catalogue=feed,
            content=content,
            lists=lists,
            history=HistoryStore(client, keys),
            ranker=ranker,
            positive=lambda event: WEIGHTS.weight(event.type, event.value) > 0,
            settings=Settings(
                _env_file=None,
                event_types=dict(WEIGHTS.types),
                repeatable_types=tuple(repeatable),
            ),
            mixture=mixture,
            user_key=key_of,
        )
    finally:
        await ranker.close()
        await client.aclose()
        waiting.close()


async def ask(
    redis_url: str,
    model: ServingModel,
    catalogue: Sequence[Item],
    happened: Sequence[Interaction],
    asked: Sequence[tuple[str, Query]],
    lists_size: int = 1_000,
    explorer: Explorer | None = None,
    mixture: Mixture | None = None,
    repeatable: Sequence[str] = (),
) -> list[Recommendation]:
    """An answer by each path; what asks by the path `batch` is asked at once."""
    found = []
    world = recommending(
        redis_url, model, catalogue, happened, lists_size, explorer, mixture, repeatable
    )
    async with world as recommender:
        batch = [query for path, query in asked if path == "batch"]
        together = iter(await recommender.recommend(batch))
        for path, query in asked:
            if path == "recommend":
                found += await recommender.recommend([query])
            elif path == "batch":
                found.append(next(together))
            elif path == "similar":
                found.append(await recommender.similar("i0", query))
            elif path == "covisits":
                found.append(await recommender.similar("i0", query, SimilarBy.COVISITS))
            elif path == "content":
                found.append(await recommender.similar("i0", query, SimilarBy.CONTENT))
            else:
                found.append(await recommender.listed(path, query))
    return found
