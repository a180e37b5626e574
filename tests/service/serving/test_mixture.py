"""What the memory's sources propose and the network ranks, in the mixer's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.content.features import Content, HashedTokens
from models.content.neighbours import ContentIndex
from models.content.texts import Shelf
from models.mixing import features
from models.mixing.blend import NETWORK, Blend
from models.mixing.mixing import Mixing
from models.sources import PRIOR, SOURCES, Question
from service.serving.catalogue import CatalogueView
from service.serving.content_newcomers import NOBODY, Newcomers
from service.serving.mixed import Mixed
from service.serving.mixture import Mixture
from service.serving.model import ServingModel
from service.serving.retrieval import Found, Want, retrieve
from service.serving.rules import Eligibility
from tests.service.serving.memories import NOW, key_of, mirror_of, over, remember, sessions
from tests.service.serving.world import LEARNED


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


def test_scores_fall_whatever_the_network_says(empty: ServingModel) -> None:
    mixture = over(mirror_of(sessions("i0 hot a b", "a hot")), top=3)
    generator = np.random.default_rng(0)
    mixing = Mixing.initial((*SOURCES, NETWORK))
    for faint in generator.uniform(1e-10, 1e-9, size=50).tolist():
        mixer = replace(mixing.mixer, weights=mixing.mixer.weights * faint)
        want = wanted(replace(empty, mixing=replace(mixing, mixer=mixer)), "i0")
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


def test_the_versions_mixing_is_followed_and_its_leader(empty: ServingModel) -> None:
    mixture = over(mirror_of(sessions("i0 a", "i0 a", "i0 b", "c b b c")))
    want = wanted(empty, "i0")
    untaught = mix(mixture, want).ranked
    mixing = Mixing.initial((*SOURCES, NETWORK))
    same = mix(mixture, replace(want, model=replace(empty, mixing=mixing)))
    assert list(same.ranked) == list(untaught)
    turned = replace(mixing, mixer=replace(mixing.mixer, weights=-mixing.mixer.weights))
    found = mix(mixture, replace(want, model=replace(empty, mixing=turned)))
    assert ids(found.ranked) == ids(untaught)[::-1]
    weights = tuple(float(name == "trending") for name in mixing.experts.names)
    led = replace(mixing, experts=replace(mixing.experts, weights=weights))
    found = mix(mixture, replace(want, model=replace(empty, mixing=led)))
    assert ids(found.ranked) == ["b", "i0", "c", "a"] != ids(untaught)
