"""Answers are never short while an eligible item exists, and hold none that is not eligible."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.continual.state import LearningState
from models.continual.window import learn_window
from service.domain.catalogue import Item
from service.domain.interactions import START, Interaction
from service.domain.recommendations import Query, Recommendation
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.domain.weights import EventWeights
from service.sections import LogSettings, ServingSettings
from service.serving.catalogue_feed import CatalogueFeed
from service.serving.exploring import Explorer
from service.serving.lists import ListsFeed
from service.serving.mixture import Mixture
from service.serving.model import ServingModel
from service.serving.ranker import Ranker
from service.serving.recommender import Recommender
from service.settings import Settings
from service.storage import connections
from service.storage.clock import now_ms
from service.storage.history import HistoryStore
from service.storage.ingest import Ingest
from service.storage.keys import Keys
from service.storage.popularity import PopularityStore
from service.telemetry import Metrics
from tests.service.publishing import clicks, small_config
from tests.service.serving.memories import key_of

ITEMS = [f"i{number}" for number in range(12)]
EVERYTHING = [*ITEMS, "named-1", "named-2", "listed-1", "listed-2"]
WEIGHTS = EventWeights({"click": 1.0, "skip": 0.0})


@pytest.fixture(scope="module")
def models() -> dict[str, ServingModel]:
    """A version that has learned `ITEMS`, and one that has learned nothing."""
    torch.set_num_threads(1)
    state = LearningState.initial(small_config())
    state = learn_window(state, clicks(20, len(ITEMS)), seed=0, draw=()).state
    record = VersionRecord(2, 1, VersionStatus.ACTIVE, Origin.INCREMENTAL, START, "", 0)
    return {
        "learned": ServingModel.load(record, state.export()),
        "empty": ServingModel.empty(record),
    }


queries = st.builds(
    Query,
    user_id=st.sampled_from(["u", "v", "nobody", None]),
    history=st.one_of(st.none(), st.lists(st.sampled_from(EVERYTHING), max_size=4).map(tuple)),
    limit=st.sampled_from([1, 3, 20, 200]),
    categories=st.frozensets(st.sampled_from("abc"), max_size=2),
    exclude=st.frozensets(st.sampled_from(EVERYTHING), max_size=6),
    exclude_seen=st.booleans(),
)
catalogue = st.lists(
    st.builds(
        lambda item_id, categories, available, deleted: Item(
            item_id,
            categories=tuple(categories),
            available=available,
            deleted=deleted,
            revision=1,
        ),
        st.sampled_from([*ITEMS, "named-1", "listed-1", "listed-2"]),
        st.sets(st.sampled_from("ab")),
        st.booleans(),
        st.booleans(),
    ),
    unique_by=lambda item: item.item_id,
)
events = st.lists(
    st.tuples(
        st.sampled_from(["u", "v"]),
        st.sampled_from(["i0", "i1", "named-1", "named-2"]),
        st.sampled_from(["click", "skip"]),
    ),
    max_size=8,
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    known=st.sampled_from(["learned", "empty"]),
    items=catalogue,
    sent=events,
    asked=st.lists(queries, min_size=1, max_size=3),
)
def test_an_answer_holds_all_that_is_eligible_up_to_its_limit(
    redis_url: str,
    models: dict[str, ServingModel],
    known: str,
    items: list[Item],
    sent: list[tuple[str, str, str]],
    asked: list[Query],
) -> None:
    model = models[known]
    happened = [
        Interaction(user, item, kind, now_ms() - 1_000 + place, f"e{place}")
        for place, (user, item, kind) in enumerate(sent)
    ]
    answers = asyncio.run(recommend(redis_url, model, items, happened, asked))
    for query, answer in zip(asked, answers, strict=True):
        expected = eligible(model, items, happened, query)
        found = [item.item_id for item in answer.items]
        assert len(set(found)) == len(found) == min(query.limit, len(expected))
        assert set(found) <= expected
        assert answer.degraded == ()
        order = [item.source for item in answer.items]
        assert order == sorted(order, key=["model", "trending", "popular", "latest"].index)
        for source in set(order):
            scores = [item.score for item in answer.items if item.source == source]
            assert scores == sorted(scores, reverse=True)


async def recommend(
    redis_url: str,
    model: ServingModel,
    items: Sequence[Item],
    happened: Sequence[Interaction],
    asked: Sequence[Query],
) -> list[Recommendation]:
    """The answers of a recommender on a clean namespace that `happened` was sent to."""
    async with recommending(redis_url, model, items, happened) as recommender:
        return await recommender.recommend(asked)


@asynccontextmanager
async def recommending(
    redis_url: str,
    model: ServingModel,
    items: Sequence[Item],
    happened: Sequence[Interaction],
    lists_size: int = 1_000,
    explorer: Explorer | None = None,
    mixture: Mixture | None = None,
) -> AsyncIterator[Recommender]:
    """A recommender on a clean namespace that `happened` was sent to."""
    keys = Keys(f"test-{uuid.uuid4().hex[:12]}")
    client = connections.connect_async(redis_url, timeout_s=5.0)
    waiting = connections.connect(redis_url)
    ranker = Ranker(Metrics(), mixture, explorer)
    try:
        if happened:
            await Ingest(client, keys, LogSettings(), WEIGHTS).append(happened)
        feed = CatalogueFeed(lambda revision: items)
        feed.poll()
        serving = ServingSettings(lists_size=lists_size)
        lists = ListsFeed(PopularityStore(waiting, keys), serving)
        await lists.refresh()
        yield Recommender(
            served=lambda: model,
            catalogue=feed,
            lists=lists,
            history=HistoryStore(client, keys),
            ranker=ranker,
            positive=lambda event: WEIGHTS.weight(event.type, event.value) > 0,
            settings=Settings(_env_file=None),
            mixture=mixture,
            user_key=key_of,
        )
    finally:
        await ranker.close()
        await client.aclose()
        waiting.close()


def eligible(
    model: ServingModel, items: Sequence[Item], happened: Sequence[Interaction], query: Query
) -> set[str]:
    """By the contract's words: every item that anybody has named, less what the query rules out."""
    listed = {item.item_id: item for item in items}
    named = set(model.items.ids) | set(listed) | {event.item_id for event in happened}
    hidden = {item.item_id for item in items if item.deleted or not item.available}
    seen = set(query.history or ())
    if query.history is None:
        seen = {e.item_id for e in happened if e.user_id == query.user_id}  # clicked or skipped
    allowed = named - hidden - query.exclude - (seen if query.exclude_seen else set())
    if not query.categories:
        return allowed
    return {
        item_id
        for item_id in allowed
        if item_id in listed and query.categories & set(listed[item_id].categories)
    }
