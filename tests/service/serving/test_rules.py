"""The rules hold on every path: nothing forbidden, nothing twice, filled as far as may be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.continual.state import LearningState
from models.continual.window import learn_window
from models.mixing.blend import Blend
from service.domain.catalogue import Item
from service.domain.interactions import START, Interaction
from service.domain.recommendations import (
    EXPLORE,
    LATEST,
    MODEL,
    POPULAR,
    TRENDING,
    Query,
    Recommendation,
    SimilarBy,
)
from service.domain.rules import Rule, Rules, Value
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.serving.catalogue import CatalogueView
from service.serving.content_newcomers import NOBODY, Newcomers
from service.serving.exploring import Explorer
from service.serving.filling import Scene
from service.serving.lists import FallbackLists
from service.serving.mixture import Mixture
from service.serving.model import ServingModel
from service.serving.rules import Eligibility, Selection
from service.storage.clock import now_ms
from tests.service.publishing import clicks, small_config
from tests.service.serving.memories import mirror_of
from tests.service.serving.test_recommender import recommending

LEARNED = [f"i{number}" for number in range(12)]
NAMED = ["named-1", "named-2", "i0", "i1"]
LISTED = ["listed-1", "listed-2", *LEARNED, "named-1"]
EVERYTHING = sorted({*LEARNED, *NAMED, *LISTED})
PATHS = ["recommend", "similar", "covisits", TRENDING, POPULAR, LATEST]


@pytest.fixture(scope="module")
def models() -> dict[str, ServingModel]:
    """A version that has learned `LEARNED`, and one that has learned nothing."""
    torch.set_num_threads(1)
    state = LearningState.initial(small_config())
    state = learn_window(state, clicks(20, len(LEARNED)), seed=0, draw=()).state
    record = VersionRecord(2, 1, VersionStatus.ACTIVE, Origin.INCREMENTAL, START, "", 0)
    return {
        "learned": ServingModel.load(record, state.export()),
        "empty": ServingModel.empty(record),
    }


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
        st.sampled_from(["u", "v"]), st.sampled_from(NAMED), st.sampled_from(["click", "skip"])
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
    asked=st.lists(st.tuples(st.sampled_from(PATHS), queries), min_size=1, max_size=4),
    lists_size=st.sampled_from([1, 1_000]),
    share=st.sampled_from([0.0, 0.0, 0.1, 0.34, 0.5]),
    top=st.sampled_from([None, 2, 100]),
)
def test_the_rules_hold_on_every_path(
    redis_url: str,
    models: dict[str, ServingModel],
    known: str,
    catalogue: list[Item],
    sent: list[tuple[str, str, str]],
    asked: list[tuple[str, Query]],
    lists_size: int,
    share: float,
    top: int | None,
) -> None:
    model = models[known]
    happened = [
        Interaction(user, item, kind, now_ms() - 1_000 + place, f"e{place}")
        for place, (user, item, kind) in enumerate(sent)
    ]
    explorer = Explorer(share, generator=np.random.default_rng(len(asked)))
    mixture = None if top is None else mixture_of(model, happened, top)
    answers = asyncio.run(
        ask(redis_url, model, catalogue, happened, asked, lists_size, explorer, mixture)
    )
    for (path, query), answer in zip(asked, answers, strict=True):
        most = share if path == "recommend" else 0.0
        allowed = allowed_of(path, query, model, catalogue, happened)
        check(path, query, answer, allowed, catalogue, most)


def mixture_of(model: ServingModel, happened: Sequence[Interaction], top: int) -> Mixture:
    """One whose memory knows all that has happened: what the version has learned, and the rest."""
    learned = [
        (event.user_id, event.item_id, event.time_ms)
        for event in clicks(20, len(LEARNED))
        if event.item_id in model.items
    ]
    late = [(e.user_id, e.item_id, e.time_ms) for e in happened if e.type == "click"]
    mirror = mirror_of([*learned, *late])
    return Mixture(lambda: mirror, Blend.of(top=top))


async def ask(
    redis_url: str,
    model: ServingModel,
    catalogue: Sequence[Item],
    happened: Sequence[Interaction],
    asked: Sequence[tuple[str, Query]],
    lists_size: int = 1_000,
    explorer: Explorer | None = None,
    mixture: Mixture | None = None,
) -> list[Recommendation]:
    """An answer by each path."""
    found = []
    world = recommending(redis_url, model, catalogue, happened, lists_size, explorer, mixture)
    async with world as recommender:
        for path, query in asked:
            if path == "recommend":
                found += await recommender.recommend([query])
            elif path == "similar":
                found.append(await recommender.similar("i0", query))
            elif path == "covisits":
                found.append(await recommender.similar("i0", query, SimilarBy.COVISITS))
            else:
                found.append(await recommender.listed(path, query))
    return found


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
) -> set[str]:
    """By the words of the guide: every item anybody has named, less what is ruled out."""
    listed = {item.item_id: item for item in catalogue}
    seen: set[str] = set()
    if path == "recommend" and query.history is not None:
        seen = set(query.history)
    elif path == "recommend":
        seen = {event.item_id for event in happened if event.user_id == query.user_id}
    gone = set(query.exclude) | (seen if query.exclude_seen else set())
    if path in ("similar", "covisits"):
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


def answered(ranked: list[tuple[str, float]], catalogue: Sequence[Item], query: Query) -> list[str]:
    """What one ranked list alone makes of an answer."""
    eligible = Eligibility.of(query, CatalogueView().with_items(catalogue), now_ms())
    answer = Selection(query, eligible, lambda item_ids: None)
    answer.take(ranked, MODEL)
    return [item.item_id for item in answer.items]


RANKED = [(f"i{place}", 1.0 - place / 10) for place in range(20)]


def of(*given: tuple[str, Sequence[str], float]) -> Rules:
    return Rules.of(Rule(name, frozenset(values), bias) for name, values, bias in given)


def test_a_cap_takes_the_best_of_each_category() -> None:
    catalogue = [
        Item(f"i{place}", categories=("abc"[place % 3],), revision=1) for place in range(9)
    ]
    query = Query(limit=5, max_per_category=1)
    assert answered(RANKED, catalogue, query) == ["i0", "i1", "i2", "i9", "i10"]
    query = Query(limit=7, max_per_category=2)
    assert answered(RANKED, catalogue, query) == [*(f"i{place}" for place in range(6)), "i9"]


def test_an_item_is_boosted_once_by_each_rule_it_meets() -> None:
    catalogue = [Item("i9", tags=("new", "red"), categories=("a",), revision=1)]
    for rules, place in (
        (of(("tags", ["new", "red"], 2.0)), 5),
        (of(("tags", ["new"], 2.0), ("tags", ["red"], 2.0)), 2),
        (of(("tags", ["new"], 2.0), ("categories", ["a"], 2.5), ("item_id", ["i9"], 2.0)), 1),
        (of(("tags", ["new"], 4.0), ("tags", ["red"], 0.25)), 9),
        (of(("tags", ["other"], 9.0)), 9),
        (of(("tags", ["new"], 1.0)), 9),
    ):
        found = answered(RANKED, catalogue, Query(limit=20, rules=rules))
        assert found.index("i9") == place
        assert [item for item in found if item != "i9"] == [
            item for item, _ in RANKED if item != "i9"
        ]


def test_rules_of_one_field_ask_for_any_and_those_of_several_for_all() -> None:
    catalogue = [
        Item("i1", tags=("x",), categories=("a",), revision=1),
        Item("i2", tags=("y",), categories=("a",), revision=1),
        Item("i3", tags=("x",), categories=("b",), revision=1),
    ]
    either = of(("tags", ["x"], -1.0), ("tags", ["y"], -0.5))
    assert answered(RANKED, catalogue, Query(rules=either)) == ["i1", "i2", "i3"]
    both = of(("tags", ["x"], -1.0), ("categories", ["a"], -1.0))
    assert answered(RANKED, catalogue, Query(rules=both)) == ["i1"]
    conflict = of(("tags", ["x"], -1.0), ("tags", ["x"], 0.0))
    assert answered(RANKED, catalogue, Query(rules=conflict)) == []


def test_an_item_is_served_from_its_publication_on_without_a_write() -> None:
    view = CatalogueView().with_items([Item("i1", published_ms=5_000, revision=1)])
    for now, allowed in ((4_999, False), (5_000, True), (5_001, True)):
        assert Eligibility(view, now_ms=now).allows("i1") is allowed


def test_an_item_asked_for_by_name_is_found_however_long_ago_it_was_named(
    redis_url: str, models: dict[str, ServingModel]
) -> None:
    happened = [
        Interaction("v", f"old-{place}", "skip", now_ms() - 9_000 + place, f"e{place}")
        for place in range(30)
    ]
    query = Query(limit=5, rules=of(("item_id", ["old-0", "old-7", "never"], -1.0)))
    asked = [("recommend", query), (LATEST, query)]
    for answer in asyncio.run(ask(redis_url, models["empty"], [], happened, asked, lists_size=1)):
        assert [item.item_id for item in answer.items] == ["old-7", "old-0"]


def test_a_cap_is_filled_by_the_model_as_far_as_it_ranks(
    redis_url: str, models: dict[str, ServingModel]
) -> None:
    model = models["learned"]
    catalogue = [Item(name, categories=("a",), revision=1) for name in LEARNED[2:]]
    query = Query(history=("i4",), limit=3, max_per_category=1)
    answer = asyncio.run(ask(redis_url, model, catalogue, [], [("recommend", query)]))[0]
    assert {"i0", "i1"} < {item.item_id for item in answer.items}
    assert [item.source for item in answer.items] == [MODEL] * 3


def ranked_by(url: str, model: ServingModel, query: Query) -> list[tuple[str, float]]:
    """What the model alone is answered with."""
    answer = asyncio.run(ask(url, model, [], [], [("recommend", query)]))[0]
    assert {item.source for item in answer.items} == {MODEL}
    return [(item.item_id, item.score) for item in answer.items]


def test_a_boost_reaches_further_than_the_answer(
    redis_url: str, models: dict[str, ServingModel]
) -> None:
    query = Query(history=("i4",), limit=11)
    best = ranked_by(redis_url, models["learned"], query)
    boosted = replace(query, limit=1, rules=of(("item_id", [best[9][0]], 20.0)))
    assert ranked_by(redis_url, models["learned"], boosted) == [(best[9][0], best[0][1])]


def test_diversity_chooses_among_more_than_the_answer_holds_by_the_vectors(
    redis_url: str, models: dict[str, ServingModel]
) -> None:
    model, query = models["learned"], Query(history=("i4",), limit=11)
    order = [item_id for item_id, _ in ranked_by(redis_url, model, query)]
    few = replace(query, limit=3)
    plain, diverse = (
        [item for item, _ in ranked_by(redis_url, model, replace(few, diversity=d))]
        for d in (0.0, 1.0)
    )
    assert plain == order[:3]
    assert diverse[0] == order[0]
    assert likeness(model, diverse) < likeness(model, plain) - 0.1
    assert set(diverse) - set(plain)


def test_vectors_are_those_that_items_are_ranked_by(models: dict[str, ServingModel]) -> None:
    model, new = models["learned"], torch.randn(1, 16)
    scene = Scene(model, CatalogueView(), FallbackLists(), (), Newcomers(("new",), new))
    vectors = scene.vectors_of(["never", "i3", "new", "i5"])
    assert vectors is not None
    assert not vectors[0].any()
    assert torch.equal(vectors[[1, 3]], model.vectors[model.items.rows(["i3", "i5"])])
    assert torch.equal(vectors[2:3], new)
    assert scene.vectors_of(["never"]) is None
    assert replace(scene, model=models["empty"], newcomers=NOBODY).vectors_of(["i3"]) is None


def likeness(model: ServingModel, item_ids: list[str]) -> float:
    """The mean cosine between items, 0 where it is negative."""
    units = torch.nn.functional.normalize(model.vectors[model.items.rows(item_ids)], dim=1)
    pairs = (units @ units.T).clamp(min=0).triu(diagonal=1)
    return float(pairs.sum()) / (len(item_ids) * (len(item_ids) - 1) / 2)
