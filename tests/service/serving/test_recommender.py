"""Answers are never short while an eligible item exists, and hold none that is not eligible."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.catalogue import Item
from service.domain.interactions import Interaction
from service.domain.recommendations import Query, Recommendation
from service.serving.exploring import Explorer
from service.serving.model import ServingModel
from service.storage.clock import now_ms
from tests.service.serving.memories import mirror_of, over
from tests.service.serving.world import LEARNED, ask, recommending

EVERYTHING = [*LEARNED, "named-1", "named-2", "listed-1", "listed-2"]

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
        st.sampled_from([*LEARNED, "named-1", "listed-1", "listed-2"]),
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


@pytest.mark.parametrize(
    ("sources", "share"),
    [(None, 0.0), (None, 0.5), (("own", "covisits"), 0.0)],
    ids=["network", "exploring", "mixture"],
)
def test_what_was_taken_by_repeatable_types_alone_is_not_seen(
    redis_url: str, model: ServingModel, sources: tuple[str, ...] | None, share: float
) -> None:
    took = [("i0", "play"), ("i1", "play"), ("i1", "click"), ("i2", "play"), ("i2", "skip")]
    happened = [
        Interaction("u", item, kind, now_ms() - 1_000 + place, f"e{place}")
        for place, (item, kind) in enumerate(took)
    ]
    asked = [
        ("recommend", Query("u", limit=12)),
        ("recommend", Query("u", limit=12, exclude_seen=False)),
        ("recommend", Query("u", ("i0", "i1"), limit=12)),
    ]

    def answered(*repeatable: str) -> list[set[str]]:
        mirror = mirror_of([(event.user_id, event.item_id, event.time_ms) for event in happened])
        mixture = None if sources is None else over(mirror, *sources)
        explorer = Explorer(share, generator=np.random.default_rng(0))
        answers = asyncio.run(
            ask(
                redis_url, model, [Item(name, revision=1) for name in LEARNED], happened, asked,
                explorer=explorer, mixture=mixture, repeatable=repeatable,
            )
        )  # fmt: skip
        return [
            {"i0", "i1", "i2"}.intersection(item.item_id for item in answer.items)
            for answer in answers
        ]

    everything = {"i0", "i1", "i2"}
    assert answered() == [set(), everything, {"i2"}]
    assert answered("play") == [{"i0"}, everything, {"i2"}]
    assert answered("click") == [set(), everything, {"i2"}], "i1 was played, too"
    assert answered("click", "play") == [{"i0", "i1"}, everything, everything]
