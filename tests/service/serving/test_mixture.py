"""Answers of what the memory's sources propose and the network ranks, in the mixer's order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.content.features import Content, HashedTokens
from models.content.neighbours import ContentIndex
from models.content.texts import Shelf
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.mixing import features
from models.mixing.blend import NETWORK, Blend
from models.mixing.mixing import Mixing
from models.sources import PRIOR, SOURCES, Question
from service.domain.catalogue import Item
from service.domain.interactions import START, Interaction
from service.domain.recommendations import MODEL, Query, Recommendation, SimilarBy
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.serving.catalogue import CatalogueView
from service.serving.content_newcomers import NOBODY, Newcomers
from service.serving.exploring import NEW, Explorer
from service.serving.memory_feed import Mirror
from service.serving.mixture import Mixed, Mixture
from service.serving.model import ServingModel
from service.serving.retrieval import Found, Want, retrieve
from service.serving.rules import Eligibility
from service.storage.clock import now_ms
from tests.service.publishing import clicks, small_config
from tests.service.serving.memories import Event, key_of, mirror_of, remember
from tests.service.serving.test_recommender import recommending
from tests.service.serving.test_rules import ask

NOW = now_ms()
LEARNED = [f"i{number}" for number in range(12)]
QUERY = Query(history=("i0",), limit=11)


def sessions(*baskets: str, since_ms: int = NOW - 600_000) -> list[Event]:
    """One user for each, who took its items in this order, one a second."""
    return [
        (f"s{number}", item, since_ms + 1_000 * place)
        for number, basket in enumerate(baskets)
        for place, item in enumerate(basket.split())
    ]


@pytest.fixture(scope="module")
def learned() -> ServingModel:
    torch.set_num_threads(1)
    state = LearningState.initial(small_config())
    state = learn_window(state, clicks(20, len(LEARNED)), seed=0, draw=()).state
    record = VersionRecord(2, 1, VersionStatus.ACTIVE, Origin.INCREMENTAL, START, "", 0)
    return ServingModel.load(record, state.export())


@pytest.fixture(scope="module")
def first() -> ServingModel:
    """Version 1, which has learned nothing."""
    record = VersionRecord(1, None, VersionStatus.ACTIVE, Origin.INITIAL, START, "", 0)
    return ServingModel.empty(record)


@pytest.fixture(params=["learned", "first"])
def model(request: pytest.FixtureRequest) -> ServingModel:
    found: ServingModel = request.getfixturevalue(request.param)
    return found


def over(mirror: Mirror, *names: str, top: int = 100) -> Mixture:
    return Mixture(lambda: mirror, Blend.of(names or tuple(SOURCES), top))


def wanted(
    model: ServingModel, *history: str, newcomers: Newcomers = NOBODY, user: str | None = None
) -> Want:
    eligible = Eligibility(CatalogueView(), exclude=frozenset(history))
    key = None if user is None else key_of(user)
    return Want(
        model, eligible, 100, history=history, now_ms=NOW, newcomers=newcomers, user_key=key
    )


def mix(mixture: Mixture, want: Want) -> Mixed:
    return mixture.mix(want, retrieve([want])[0])


def ids(ranked: Sequence[tuple[str, float]]) -> list[str]:
    return [item_id for item_id, _ in ranked]


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


def test_what_only_the_network_knows_keeps_its_place(learned: ServingModel) -> None:
    plain = retrieve([wanted(learned, "i0")])[0]
    query = plain.query
    assert query is not None
    best = 2.0 * query[None] / query.norm()
    news = Newcomers(("new",), best * (plain.ranked[0][1] / float(query.norm())))
    want = wanted(learned, "i0", newcomers=news)
    found = mix(over(mirror_of(sessions("i0 hot"))), want)
    assert sorted(ids(found.ranked)) == sorted({*LEARNED, "hot", "new"})
    network = [one for one in ids(found.ranked) if one not in ("hot", "i0")]
    assert network == ["new", *ids(plain.ranked)]
    scores = dict(found.ranked)
    assert scores["new"] == pytest.approx(1.0)
    assert len({scores[one] for one in network}) == len(network)
    assert min(scores.values()) >= 1.0 / 13 - 1e-6
    assert all(found.spoke[one] == (NETWORK,) for one in network)


def test_what_never_happened_stands_where_the_network_puts_it(learned: ServingModel) -> None:
    plain = retrieve([wanted(learned, "i0")])[0]
    query, first = plain.query, plain.ranked[0][1]
    assert query is not None
    vectors = torch.stack([query, -query]) * (2.0 * first / float(query @ query))
    news = Newcomers(("likely", "unlikely"), vectors)
    mirror = mirror_of(sessions(*(f"i0 {item}" for item in ids(plain.ranked))))
    mixing = Mixing.initial((*SOURCES, NETWORK))
    weights = torch.zeros_like(mixing.mixer.weights)
    weights[features.names(mixing.sources).index("events")] = 9.0  # what has happened
    by_events = replace(mixing, mixer=replace(mixing.mixer, weights=weights))
    want = wanted(replace(learned, mixing=by_events), "i0", newcomers=news)
    order = [one for one in ids(mix(over(mirror), want).ranked) if one != "i0"]
    assert (order[0], order[-1]) == ("likely", "unlikely")


def test_a_new_item_that_neither_memory_nor_network_knows_comes_by_its_text(
    model: ServingModel,
) -> None:
    """It stands behind the memory's rows, as does another that the network alone has vectors of."""
    texts = {"i0": "tea green", "hot": "tea black", "new": "tea white", "far": "screws"}
    rows = HashedTokens().rows([Content(title=text) for text in texts.values()])
    index = ContentIndex.empty(HashedTokens().width, 10)
    index = index.with_rows(dict(zip(texts, rows, strict=True)))
    mirror = mirror_of(sessions(*["i0 hot"] * 5))
    mixture = Mixture(lambda: mirror, Blend.of(), Shelf(lambda: index, few=5.0))
    strangers = [("foretold", 2.0), ("new", 1.0)]
    for found in (Found([]), Found(strangers)):
        mixed = mixture.mix(wanted(model, "i0"), found)
        assert len(mixed.ranked) == len(set(ids(mixed.ranked)))
        assert "content" in mixed.spoke["new"]
        assert "content" not in mixed.spoke["hot"], "it has happened often enough"
        assert "far" not in mixed.spoke
        assert set(ids(mixed.ranked)) == {"i0", "hot", "new", *(one for one, _ in found.ranked)}
    assert mixed.spoke["foretold"] == (NETWORK,)
    remember(mirror, [("v", "new", NOW), *((f"w{at}", "new", NOW) for at in range(4))])
    later = mixture.mix(wanted(model, "i0"), Found(strangers[:1]))
    assert "content" not in later.spoke.get("new", ())


def test_without_sources_nobody_ranks_what_the_network_ranked(learned: ServingModel) -> None:
    mirror = mirror_of(sessions("i0 hot"))
    assert over(mirror).knows(wanted(learned, "i0"))
    assert not Mixture(lambda: mirror, Blend.of(())).knows(wanted(learned, "i0"))


@pytest.mark.parametrize("top", [1, 2, 3, 5])
def test_what_the_network_ranked_lower_follows_behind(learned: ServingModel, top: int) -> None:
    mixture = over(mirror_of(sessions(*(f"{one} hot cold" for one in LEARNED))), top=top)
    for item in LEARNED:
        want = wanted(learned, item)
        plain = ids(retrieve([want])[0].ranked)
        found = mix(mixture, want)
        order, scores = ids(found.ranked), [score for _, score in found.ranked]
        assert len(set(order)) == len(order)
        assert set(order) >= {*LEARNED} - {item} | {"hot"}
        assert scores == sorted(scores, reverse=True)
        behind = [one for one in order if one not in found.spoke]
        assert behind == [one for one in plain if one not in found.spoke]
        assert order[-len(behind) :] == behind


def test_scores_fall_whatever_the_network_says(first: ServingModel) -> None:
    mixture = over(mirror_of(sessions("i0 hot a b", "a hot")), top=3)
    generator = np.random.default_rng(0)
    mixing = Mixing.initial((*SOURCES, NETWORK))
    for faint in generator.uniform(1e-10, 1e-9, size=50).tolist():
        mixer = replace(mixing.mixer, weights=mixing.mixer.weights * faint)
        want = wanted(replace(first, mixing=replace(mixing, mixer=mixer)), "i0")
        scores = np.sort(generator.normal(3.0, 1.0, size=6))[::-1].tolist()
        found = Found([(f"only-{at}", score) for at, score in enumerate(scores)])
        mixed = [score for _, score in mixture.mix(want, found).ranked]
        assert mixed == sorted(mixed, reverse=True)


def test_whoever_spoke_for_an_item_proposed_it_the_best_first(learned: ServingModel) -> None:
    history = ("i0", "i3")
    mirror = mirror_of(sessions("i0 a i3 b", "i3 b c", "i0 i3 i2 a", "d d e", "c i0"))
    want, top = wanted(learned, *history), 3
    found = mix(over(mirror, top=top), want)
    rows = mirror.items.rows(history)
    question = Question(rows, np.array([NOW / 1e3 - 120, NOW / 1e3 - 60]), NOW / 1e3)
    ranks: dict[str, dict[str, int]] = {}
    for name, source in SOURCES.items():
        said = source.propose(mirror.memory, question)
        order = np.argsort(-said.scores, kind="stable")[:top]
        ranks[name] = {mirror.items.id(said.items[at]): n for n, at in enumerate(order, start=1)}
    query = retrieve([want])[0].query
    assert query is not None
    logits = learned.vectors[:] @ query
    network = sorted(
        (one for one in found.spoke if one in learned.items),
        key=lambda one: -float(logits[learned.items.row(one)]),
    )
    ranks[NETWORK] = {one: n for n, one in enumerate(network[:top], start=1)}
    assert len(found.spoke) > 6
    for item, names in found.spoke.items():
        proposed = [name for name in ranks if item in ranks[name]]
        assert names == tuple(sorted(proposed, key=lambda name: ranks[name][item])[:3])
        worth = sum(PRIOR.get(name, 1.0) / ranks[name][item] for name in proposed)
        assert dict(found.ranked)[item] == pytest.approx(worth, rel=1e-5)


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


def test_the_versions_mixing_is_followed_and_its_leader(first: ServingModel) -> None:
    mixture = over(mirror_of(sessions("i0 a", "i0 a", "i0 b", "c b b c")))
    want = wanted(first, "i0")
    untaught = mix(mixture, want).ranked
    mixing = Mixing.initial((*SOURCES, NETWORK))
    same = mix(mixture, replace(want, model=replace(first, mixing=mixing)))
    assert same.ranked == untaught
    turned = replace(mixing, mixer=replace(mixing.mixer, weights=-mixing.mixer.weights))
    found = mix(mixture, replace(want, model=replace(first, mixing=turned)))
    assert ids(found.ranked) == ids(untaught)[::-1]
    weights = tuple(float(name == "trending") for name in mixing.experts.names)
    led = replace(mixing, experts=replace(mixing.experts, weights=weights))
    found = mix(mixture, replace(want, model=replace(first, mixing=led)))
    assert ids(found.ranked) == ["b", "i0", "c", "a"] != ids(untaught)


def test_items_met_together_stand_by_weight_over_the_root_of_their_count(
    redis_url: str, first: ServingModel
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
    assert sorted(ids(found[:2])) == ["away", "z"]
    assert dict(found) == pytest.approx(dict(expected), rel=1e-4)
    assert ids(mixture.covisited("x", 1, lambda item_id: item_id == "y")) == ["y"]
    assert mixture.covisited("never", 10, lambda item_id: True) == []
    assert mixture.covisited("far", 10, lambda item_id: True) == []

    async def asked() -> list[Recommendation]:
        async with recommending(redis_url, first, catalogue, [], mixture=mixture) as recommender:
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


def test_nobody_is_a_neighbour_of_themselves(redis_url: str, first: ServingModel) -> None:
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
    found = answers(redis_url, first, mixture, *queries, happened=happened)
    assert [sorted(ranked_in(answer)) for answer in found] == [
        ["other"],
        ["other"],
        ["mine", "other"],
        ["mine", "other"],
    ]


def test_a_history_without_times_counts_in_its_order(redis_url: str, first: ServingModel) -> None:
    mixture = over(mirror_of(sessions("i0 a", "i1 b")), "rules")
    lost = tuple(f"never-{number}" for number in range(999))
    queries = [
        Query(history=history, limit=2)
        for history in (("i0", "i1"), ("i1", "i0"), (*lost, "i0"), (*lost, "never"))
    ]
    listed = [Item("listed-1", revision=1), Item("listed-2", revision=1)]
    found = answers(redis_url, first, mixture, *queries, catalogue=listed)
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
