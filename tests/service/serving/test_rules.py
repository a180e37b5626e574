"""What each rule means, and that what ranks is asked far enough for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import torch

from service.domain.catalogue import Item
from service.domain.interactions import Interaction
from service.domain.recommendations import LATEST, MODEL, Query
from service.domain.rules import Rule, Rules
from service.serving.catalogue import CatalogueView
from service.serving.content_newcomers import NOBODY, Newcomers
from service.serving.filling import Scene
from service.serving.lists import FallbackLists
from service.serving.model import ServingModel
from service.serving.rules import Eligibility, Selection
from service.storage.clock import now_ms
from tests.service.serving.world import LEARNED, ask

RANKED = [(f"i{place}", 1.0 - place / 10) for place in range(20)]


def answered(ranked: list[tuple[str, float]], catalogue: Sequence[Item], query: Query) -> list[str]:
    """What one ranked list alone makes of an answer."""
    eligible = Eligibility.of(query, CatalogueView().with_items(catalogue), now_ms())
    answer = Selection(query, eligible, lambda item_ids: None)
    answer.take(ranked, MODEL)
    return [item.item_id for item in answer.items]


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
    redis_url: str, empty: ServingModel
) -> None:
    happened = [
        Interaction("v", f"old-{place}", "skip", now_ms() - 9_000 + place, f"e{place}")
        for place in range(30)
    ]
    query = Query(limit=5, rules=of(("item_id", ["old-0", "old-7", "never"], -1.0)))
    asked = [("recommend", query), (LATEST, query)]
    for answer in asyncio.run(ask(redis_url, empty, [], happened, asked, lists_size=1)):
        assert [item.item_id for item in answer.items] == ["old-7", "old-0"]


def test_a_cap_is_filled_by_the_model_as_far_as_it_ranks(
    redis_url: str, learned: ServingModel
) -> None:
    catalogue = [Item(name, categories=("a",), revision=1) for name in LEARNED[2:]]
    query = Query(history=("i4",), limit=3, max_per_category=1)
    answer = asyncio.run(ask(redis_url, learned, catalogue, [], [("recommend", query)]))[0]
    assert {"i0", "i1"} < {item.item_id for item in answer.items}
    assert [item.source for item in answer.items] == [MODEL] * 3


def ranked_by(url: str, model: ServingModel, query: Query) -> list[tuple[str, float]]:
    """What the model alone is answered with."""
    answer = asyncio.run(ask(url, model, [], [], [("recommend", query)]))[0]
    assert {item.source for item in answer.items} == {MODEL}
    return [(item.item_id, item.score) for item in answer.items]


def test_a_boost_reaches_further_than_the_answer(redis_url: str, learned: ServingModel) -> None:
    query = Query(history=("i4",), limit=11)
    best = ranked_by(redis_url, learned, query)
    boosted = replace(query, limit=1, rules=of(("item_id", [best[9][0]], 20.0)))
    assert ranked_by(redis_url, learned, boosted) == [(best[9][0], best[0][1])]


def test_diversity_chooses_among_more_than_the_answer_holds_by_the_vectors(
    redis_url: str, learned: ServingModel
) -> None:
    query = Query(history=("i4",), limit=11)
    order = [item_id for item_id, _ in ranked_by(redis_url, learned, query)]
    few = replace(query, limit=3)
    plain, diverse = (
        [item for item, _ in ranked_by(redis_url, learned, replace(few, diversity=d))]
        for d in (0.0, 1.0)
    )
    assert plain == order[:3]
    assert diverse[0] == order[0]
    assert likeness(learned, diverse) < likeness(learned, plain) - 0.1
    assert set(diverse) - set(plain)


def test_vectors_are_those_that_items_are_ranked_by(
    learned: ServingModel, empty: ServingModel
) -> None:
    new = torch.randn(1, 16)
    scene = Scene(learned, CatalogueView(), FallbackLists(), (), Newcomers(("new",), new))
    vectors = scene.vectors_of(["never", "i3", "new", "i5"])
    assert vectors is not None
    assert not vectors[0].any()
    assert torch.equal(vectors[[1, 3]], learned.vectors[learned.items.rows(["i3", "i5"])])
    assert torch.equal(vectors[2:3], new)
    assert scene.vectors_of(["never"]) is None
    assert replace(scene, model=empty, newcomers=NOBODY).vectors_of(["i3"]) is None


def likeness(model: ServingModel, item_ids: list[str]) -> float:
    """The mean cosine between items, 0 where it is negative."""
    units = torch.nn.functional.normalize(model.vectors[model.items.rows(item_ids)], dim=1)
    pairs = (units @ units.T).clamp(min=0).triu(diagonal=1)
    return float(pairs.sum()) / (len(item_ids) * (len(item_ids) - 1) / 2)
