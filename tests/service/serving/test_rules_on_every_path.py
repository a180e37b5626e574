"""The rules hold on every path: nothing forbidden, nothing twice, filled as far as may be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.mixing.blend import Blend
from service.domain.catalogue import Item
from service.domain.interactions import Interaction
from service.domain.recommendations import (
    EXPLORE,
    LATEST,
    MODEL,
    POPULAR,
    TRENDING,
    Query,
    Recommendation,
)
from service.domain.rules import Rule, Rules, Value
from service.serving.exploring import Explorer
from service.serving.mixture import Mixture
from service.serving.model import ServingModel
from service.storage.clock import now_ms
from tests.service.publishing import clicks
from tests.service.serving.memories import mirror_of
from tests.service.serving.world import LEARNED, ask

NAMED = ["named-1", "named-2", "i0", "i1"]
LISTED = ["listed-1", "listed-2", *LEARNED, "named-1"]
EVERYTHING = sorted({*LEARNED, *NAMED, *LISTED})
SIMILAR = ["similar", "covisits", "content"]
PATHS = ["recommend", *SIMILAR, TRENDING, POPULAR, LATEST]

fields: dict[str, st.SearchStrategy[Any]] = {
    "item_id": st.sampled_from([*EVERYTHING, "never"]),
    "categories": st.sampled_from("abcd"),
    "tags": st.sampled_from("xyz"),
    "attributes.size": st.sampled_from([1, 2, "M", "L"]),
    "attributes.none": st.just(1),
}
rules = st.sampled_from(sorted(fields)).flatmap(
    lambda name: st.builds(
        Rule,
        st.just(name),
        st.frozensets(fields[name], min_size=1, max_size=4),
        st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 1e300]),
    )
)
queries = st.builds(
    Query,
    user_id=st.sampled_from(["u", "nobody"]),
    history=st.one_of(st.none(), st.lists(st.sampled_from(EVERYTHING), max_size=4).map(tuple)),
    limit=st.sampled_from([1, 3, 20]),
    categories=st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from("abc"))),
    categories_all=st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from("ab"))),
    exclude=st.frozensets(st.sampled_from(EVERYTHING), max_size=4),
    exclude_seen=st.booleans(),
    rules=st.one_of(st.just(()), st.lists(rules, max_size=4)).map(Rules.of),
    diversity=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    max_per_category=st.sampled_from([None, 1, 2]),
)
items = st.lists(
    st.builds(
        Item,
        st.sampled_from(LISTED),
        title=st.sampled_from(["", "red shoe", "blue shoe"]),
        categories=st.sets(st.sampled_from("abc")).map(tuple),
        tags=st.sets(st.sampled_from("xy")).map(tuple),
        available=st.sampled_from([True, True, True, False]),
        deleted=st.sampled_from([False, False, False, True]),
        published_ms=st.sampled_from([None, 0, 10**12, 4 * 10**12]),
        attributes=st.sampled_from([{}, {"size": 1}, {"size": ["M", 2]}, {"size": float("nan")}]),
        revision=st.just(1),
    ),
    unique_by=lambda item: item.item_id,
    max_size=14,
)
events = st.lists(
    st.tuples(
        st.sampled_from(["u", "v"]),
        st.sampled_from(NAMED),
        st.sampled_from(["click", "play", "skip"]),
    ),
    max_size=6,
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    known=st.sampled_from(["learned", "empty"]),
    catalogue=items,
    sent=events,
    alone=st.lists(st.tuples(st.sampled_from(PATHS), queries), min_size=1, max_size=4),
    together=st.lists(queries, max_size=3),
    lists_size=st.sampled_from([1, 1_000]),
    share=st.sampled_from([0.0, 0.0, 0.1, 0.34, 0.5]),
    top=st.sampled_from([None, 2, 100]),
    repeatable=st.sampled_from([(), ("play",), ("click", "play")]),
)
def test_the_rules_hold_on_every_path(
    redis_url: str,
    models: dict[str, ServingModel],
    known: str,
    catalogue: list[Item],
    sent: list[tuple[str, str, str]],
    alone: list[tuple[str, Query]],
    together: list[Query],
    lists_size: int,
    share: float,
    top: int | None,
    repeatable: tuple[str, ...],
) -> None:
    model = models[known]
    happened = [
        Interaction(user, item, kind, now_ms() - 1_000 + place, f"e{place}")
        for place, (user, item, kind) in enumerate(sent)
    ]
    asked = [*alone, *(("batch", query) for query in together)]
    explorer = Explorer(share, generator=np.random.default_rng(len(asked)))
    mixture = None if top is None else mixture_of(model, happened, top)
    answers = asyncio.run(
        ask(redis_url, model, catalogue, happened, asked, lists_size, explorer, mixture, repeatable)
    )
    for (path, query), answer in zip(asked, answers, strict=True):
        most = share if path in ("recommend", "batch") else 0.0
        allowed = allowed_of(path, query, model, catalogue, happened, repeatable)
        check(path, query, answer, allowed, catalogue, most)


def mixture_of(model: ServingModel, happened: Sequence[Interaction], top: int) -> Mixture:
    """One whose memory knows all that has happened: what the version has learned, and the rest."""
    learned = [
        (event.user_id, event.item_id, event.time_ms)
        for event in clicks(20, len(LEARNED))
        if event.item_id in model.items
    ]
    late = [(e.user_id, e.item_id, e.time_ms) for e in happened if e.type != "skip"]
    mirror = mirror_of([*learned, *late])
    return Mixture(lambda: mirror, Blend.of(top=top))


def check(
    path: str,
    query: Query,
    answer: Recommendation,
    allowed: set[str],
    catalogue: Sequence[Item],
    share: float = 0.0,
) -> None:
    found = [item.item_id for item in answer.items]
    assert len(set(found)) == len(found) <= query.limit
    categories = {item.item_id: item.categories for item in catalogue}
    counts = Counter(name for item_id in found for name in categories.get(item_id, ()))
    most = query.max_per_category or query.limit
    assert set(found) <= allowed
    assert not counts or max(counts.values()) <= most
    if len(found) < query.limit and path not in (TRENDING, POPULAR):
        for left in allowed - set(found):
            assert any(counts[name] >= most for name in categories[left]), left
    assert [item.source for item in answer.items].count(EXPLORE) <= share * len(found)
    order = [item.source for item in answer.items if item.source != EXPLORE]
    assert order == sorted(order, key=[MODEL, TRENDING, POPULAR, LATEST].index)
    if not query.diversity:
        for source in {*order, EXPLORE}:
            scores = [item.score for item in answer.items if item.source == source]
            assert scores == sorted(scores, reverse=True)


def allowed_of(
    path: str,
    query: Query,
    model: ServingModel,
    catalogue: Sequence[Item],
    happened: Sequence[Interaction],
    repeatable: Sequence[str],
) -> set[str]:
    """By the words of the guide: every item anybody has named, less what is ruled out."""
    listed = {item.item_id: item for item in catalogue}
    seen: set[str] = set()
    recommended = path in ("recommend", "batch")
    if recommended and query.history is not None:
        seen = set(query.history) if len(repeatable) < 2 else set()
    elif recommended:
        seen = {
            event.item_id
            for event in happened
            if event.user_id == query.user_id and event.type not in repeatable
        }
    gone = set(query.exclude) | (seen if query.exclude_seen else set())
    if path in SIMILAR:
        gone.add("i0")
    named = set(model.items.ids) | set(listed) | {event.item_id for event in happened}
    return {
        item_id
        for item_id in named - gone
        if shown(listed.get(item_id, Item(item_id))) and meets(query, listed, item_id)
    }


def shown(item: Item) -> bool:
    return item.available and not item.deleted and (item.published_ms or 0) <= now_ms()


def meets(query: Query, listed: dict[str, Item], item_id: str) -> bool:
    item = listed.get(item_id, Item(item_id))
    if query.categories and not query.categories & set(item.categories):
        return False
    if not query.categories_all <= set(item.categories):
        return False
    ruled_out = any(has(item, name) & set(values) for name, values in query.rules.excluded)
    return not ruled_out and all(
        has(item, name) & set(values) for name, values in query.rules.required
    )


def has(item: Item, name: str) -> set[Value]:
    if name == "item_id":
        return {item.item_id}
    if name == "tags":
        return set(item.tags)
    if name == "categories":
        return set(item.categories)
    value = item.attributes.get(name.removeprefix("attributes."), [])
    return set(value if isinstance(value, list) else [value])
