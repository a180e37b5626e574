"""Answers over a fast memory: what it adds, says for itself, and costs when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.mixing.blend import NETWORK
from models.mixing.mixing import Mixing
from service.domain.catalogue import Item
from service.domain.interactions import Interaction
from service.domain.recommendations import MODEL, Query, Recommendation, SimilarBy
from service.serving.exploring import NEW, Explorer
from service.serving.mixture import Mixture
from service.serving.model import ServingModel
from tests.service.serving.memories import NOW, mirror_of, over, remember, sessions
from tests.service.serving.world import LEARNED, ask, recommending

QUERY = Query(history=("i0",), limit=11)


def answers(
    url: str,
    model: ServingModel,
    mixture: Mixture | None,
    *queries: Query,
    catalogue: Sequence[Item] = (),
    happened: Sequence[Interaction] = (),
    explorer: Explorer | None = None,
    path: str = "recommend",
) -> list[Recommendation]:
    asked = [(path, query) for query in queries]
    made = ask(url, model, catalogue, happened, asked, explorer=explorer, mixture=mixture)
    return asyncio.run(made)


def ranked_in(answer: Recommendation) -> list[str]:
    return [item.item_id for item in answer.items if item.source == MODEL]


def test_what_only_the_memory_knows_is_recommended_right_after(
    redis_url: str, model: ServingModel
) -> None:
    mirror = mirror_of(sessions("i0 i2"))

    async def before_and_after() -> tuple[Recommendation, Recommendation]:
        world = recommending(redis_url, model, [], [], mixture=over(mirror))
        async with world as recommender:
            before = (await recommender.recommend([QUERY]))[0]
            remember(mirror, [("v", "i0", NOW - 2_000), ("v", "hot", NOW - 1_000)])
            return before, (await recommender.recommend([QUERY]))[0]

    before, after = asyncio.run(before_and_after())
    assert "hot" not in ranked_in(before)
    assert ranked_in(after)[:2] in (["hot", "i2"], ["i2", "hot"])
    assert after.source == "session"
    assert after.model_version == model.version
    assert after.degraded == ()


@pytest.mark.parametrize("taught", [False, True])
def test_a_source_brings_in_its_best_of_what_a_filter_leaves(
    redis_url: str, model: ServingModel, learned: ServingModel, taught: bool
) -> None:
    common = [f"i0 common{n}" for n in range(30) for _ in range(5)]
    rare = ["i0 rare1", "i0 rare0", "i0 rare1", "i0 rare2", "i0 rare1", "i0 rare0"]
    mixture = over(mirror_of(sessions(*common, *rare)), "covisits", top=2)
    catalogue = [Item(f"rare{n}", revision=n + 1, categories=("b",)) for n in range(3)]
    query = replace(QUERY, categories=frozenset({"b"}))
    used = learned if taught else model
    answer = answers(redis_url, used, mixture, query, catalogue=catalogue)[0]

    assert ranked_in(answer)[:2] == ["rare1", "rare0"]


def test_an_explanation_names_history_and_sources(redis_url: str, learned: ServingModel) -> None:
    mixture = over(mirror_of(sessions("i0 hot", "i4 cold")), top=2)
    query = replace(QUERY, history=("i0", "never", "i4"), limit=13, explain=True)
    listed = [Item("listed", revision=1)]
    answer = answers(redis_url, learned, mixture, query, catalogue=listed)[0]
    items = {item.item_id: item for item in answer.items}
    assert items["hot"].because == ("i0",)
    assert items["cold"].because == ("i4",)
    assert "covisits" in (items["hot"].sources or ())
    assert NETWORK not in (items["hot"].sources or ())
    for one in set(LEARNED) - {"i0", "i4"}:
        assert items[one].sources == (NETWORK,)  # also of what stands behind the mixer's
        assert set(items[one].because or ()) <= {"i0", "i4"}
    assert any(items[one].because for one in set(LEARNED) - {"i0", "i4"})
    assert (items["listed"].because, items["listed"].sources) == ((), ())


def test_what_was_not_explored_after_all_does_not_say_so(
    redis_url: str, learned: ServingModel
) -> None:
    listed = [Item(f"one-{n}", categories=("a",), revision=1) for n in range(5)]
    explorer = Explorer(0.5, (NEW,), generator=np.random.default_rng(1))
    query = replace(QUERY, categories=frozenset("a"), explain=True)
    found = answers(redis_url, learned, None, query, catalogue=listed, explorer=explorer)[0]
    assert [(item.source, item.sources) for item in found.items] == [("latest", ())] * 5


def test_items_met_together_stand_by_weight_over_the_root_of_their_count(
    redis_url: str, empty: ServingModel
) -> None:
    events = sessions("x y", "x y", "x z", "x away", *["y"] * 8, "far")
    mixture = over(mirror_of(events))
    catalogue = [
        Item("z", categories=("b",), revision=1),
        Item("y", categories=("a",), revision=1),
        Item("away", available=False, revision=1),
    ]
    expected = [("z", 1.0), ("away", 1.0), ("y", 2 / np.sqrt(10))]
    found = mixture.covisited("x", 10, lambda item_id: True)
    assert sorted(dict(found[:2])) == ["away", "z"]
    assert dict(found) == pytest.approx(dict(expected), rel=1e-4)
    assert list(dict(mixture.covisited("x", 1, lambda item_id: item_id == "y"))) == ["y"]
    assert mixture.covisited("never", 10, lambda item_id: True) == []
    assert mixture.covisited("far", 10, lambda item_id: True) == []

    async def asked() -> list[Recommendation]:
        async with recommending(redis_url, empty, catalogue, [], mixture=mixture) as recommender:
            only_a = Query(limit=2, categories=frozenset("a"))
            return [
                await recommender.similar(one, query, SimilarBy.COVISITS)
                for one, query in (("x", Query(limit=5)), ("x", only_a), ("never", Query(limit=2)))
            ]

    plain, filtered, unknown = asyncio.run(asked())
    assert ranked_in(plain) == ["z", "y"]
    assert ranked_in(filtered) == ["y"]
    assert ranked_in(unknown) == []
    assert [item.source for item in unknown.items] == ["latest"] * 2


def test_nobody_is_a_neighbour_of_themselves(redis_url: str, empty: ServingModel) -> None:
    mixture = over(
        mirror_of([*sessions("i0 other"), ("u", "i0", NOW - 9), ("u", "mine", NOW - 8)]),
        "neighbours",
    )
    happened = [Interaction("u", "i0", "click", NOW - 9, "e")]
    queries = [
        Query(user_id="u"),
        Query(user_id="u", history=("i0",)),
        Query(user_id="v", history=("i0",)),
        Query(history=("i0",)),
    ]
    found = answers(redis_url, empty, mixture, *queries, happened=happened)
    assert [sorted(ranked_in(answer)) for answer in found] == [
        ["other"],
        ["other"],
        ["mine", "other"],
        ["mine", "other"],
    ]


def test_a_history_without_times_counts_in_its_order(redis_url: str, empty: ServingModel) -> None:
    mixture = over(mirror_of(sessions("i0 a", "i1 b")), "rules")
    lost = tuple(f"never-{number}" for number in range(999))
    queries = [
        Query(history=history, limit=2)
        for history in (("i0", "i1"), ("i1", "i0"), (*lost, "i0"), (*lost, "never"))
    ]
    listed = [Item("listed-1", revision=1), Item("listed-2", revision=1)]
    found = answers(redis_url, empty, mixture, *queries, catalogue=listed)
    assert [ranked_in(answer) for answer in found] == [["b", "a"], ["a", "b"], ["a"], []]
    assert [len(answer.items) for answer in found] == [2] * 4
    assert not any(answer.degraded for answer in found)


def test_without_a_memory_the_network_answers_as_it_would(
    redis_url: str, model: ServingModel
) -> None:
    queries = [QUERY, Query(user_id="u"), Query(user_id="nobody"), replace(QUERY, explain=True)]
    happened = [Interaction("u", "i4", "click", NOW - 9, "e")]
    plain, found = (
        answers(redis_url, model, mixture, *queries, happened=happened)
        for mixture in (None, over(mirror_of()))
    )
    assert found == plain


@pytest.mark.parametrize("path", ["recommend", "covisits"])
def test_a_memory_that_cannot_be_ranked_by_costs_its_part_alone(
    redis_url: str, learned: ServingModel, path: str
) -> None:
    mirror = mirror_of(sessions("i0 hot"))
    mirror.memory.covisits.neighbours[mirror.items.row("i0"), 0] = 10**6
    found = answers(redis_url, learned, over(mirror), replace(QUERY, limit=3), path=path)[0]
    assert found.degraded == ("model",)
    assert [item.source for item in found.items] == ["latest"] * 3


def test_a_mixing_of_other_sources_costs_the_ranking(redis_url: str, learned: ServingModel) -> None:
    model = replace(learned, mixing=Mixing.initial(("own", NETWORK)))
    found = answers(redis_url, model, over(mirror_of(sessions("i0 hot"))), QUERY)[0]
    assert found.degraded == ("model",)
    assert [item.source for item in found.items] == ["latest"] * 11
