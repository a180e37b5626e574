"""A share of the places for what is not known well: marked, bounded, spread, and off to the bit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.ranking.uncertainty import Uncertainty
from service.domain.catalogue import Item
from service.domain.recommendations import EXPLORE, MODEL, Query, Recommendation
from service.domain.rules import Rule, Rules
from service.serving.exploring import NEW, THOMPSON, Explorer
from service.serving.model import ServingModel
from service.settings import Settings
from tests.service.serving.world import ask, version_of

ITEMS = [f"i{number}" for number in range(60)]
QUERY = Query(history=("i0", "i2"), limit=20)
NEWS = [Item(f"new-{n}", published_ms=10**12 + n, revision=1) for n in range(30)]


@pytest.fixture(scope="module")
def model() -> ServingModel:
    return version_of(users=60, items=len(ITEMS))


def explorer(share: float = 0.25, *methods: str, seed: int = 7) -> Explorer:
    return Explorer(share, methods or (THOMPSON, NEW), generator=np.random.default_rng(seed))


def answers(
    url: str,
    model: ServingModel,
    exploring: Explorer | None,
    queries: Sequence[Query] = (QUERY,),
    catalogue: Sequence[Item] = NEWS,
) -> list[Recommendation]:
    asked = [("recommend", query) for query in queries]
    return asyncio.run(ask(url, model, catalogue, [], asked, explorer=exploring))


def explored(answer: Recommendation) -> list[str]:
    return [item.item_id for item in answer.items if item.source == EXPLORE]


def with_deviations(model: ServingModel, sure: Sequence[str], deviation: float) -> ServingModel:
    """The same, knowing all of some items, and little of the others."""
    by_row = torch.full((len(model.items),), deviation)
    by_row[torch.from_numpy(model.items.rows(sure))] = 0.0
    return replace(model, uncertainty=Uncertainty(by_row, deviation))


def test_what_is_explored_is_marked_and_spread_and_the_rest_stands_as_it_would(
    redis_url: str, model: ServingModel
) -> None:
    plain = answers(redis_url, model, None)[0]
    found = answers(redis_url, model, explorer(0.1, NEW))[0]
    assert [at for at, item in enumerate(found.items) if item.source == EXPLORE] == [5, 15]
    assert set(explored(found)) < {item.item_id for item in NEWS}
    others = [item for item in found.items if item.source != EXPLORE]
    assert others == list(plain.items[:18])
    assert {item.source for item in others} == {MODEL}


def test_off_is_the_same_to_the_bit(redis_url: str, model: ServingModel) -> None:
    asked = [QUERY, replace(QUERY, limit=3), Query(user_id="nobody"), replace(QUERY, diversity=0.5)]
    plain = answers(redis_url, model, None, asked)
    assert answers(redis_url, model, explorer(0.0), asked) == plain
    assert answers(redis_url, model, explorer(0.5), asked) != plain
    assert Explorer.of(Settings(_env_file=None)) is None


def test_an_answer_too_small_for_its_share_explores_nothing(
    redis_url: str, model: ServingModel
) -> None:
    asked = [replace(QUERY, limit=limit) for limit in (1, 9, 10, 19, 20, 29, 30)]
    found = answers(redis_url, model, explorer(0.1), asked)
    assert [len(explored(answer)) for answer in found] == [0, 0, 1, 1, 2, 2, 3]
    assert [len(answer.items) for answer in found] == [query.limit for query in asked]
    assert explorer(0.29).places(100) == 29


def test_the_same_seed_explores_the_same_and_another_one_does_not(
    redis_url: str, model: ServingModel
) -> None:
    asked = [QUERY] * 4
    once, again, other = (
        answers(redis_url, model, explorer(seed=seed), asked) for seed in (1, 1, 2)
    )
    assert once == again
    assert once != other
    assert len({tuple(explored(answer)) for answer in once}) > 1


def test_what_is_known_well_is_not_drawn(redis_url: str, model: ServingModel) -> None:
    best = answers(redis_url, model, None)[0]
    sure = [item_id for item_id in ITEMS if int(item_id[1:]) % 2]
    unsure = with_deviations(model, sure, 0.5)
    drawn = Counter[str]()
    for answer in answers(redis_url, unsure, explorer(0.5, THOMPSON), [QUERY] * 20):
        drawn.update(explored(answer))
    assert sum(drawn.values()) > 50
    assert not drawn.keys() & {item.item_id for item in best.items}
    assert not drawn.keys() & set(sure)
    certain = with_deviations(model, ITEMS, 0.5)
    found = answers(redis_url, certain, explorer(0.5, THOMPSON))[0]
    assert found == best


def test_a_draw_reaches_as_far_as_it_is_not_known(redis_url: str, model: ServingModel) -> None:
    """The less is known, the further down the ranking an explored item may have stood."""
    order = [item.item_id for item in answers(redis_url, model, None, [_all()], ())[0].items]
    means = []
    for deviation in (0.05, 5.0):
        unsure = with_deviations(model, (), deviation)
        found = answers(redis_url, unsure, explorer(0.5, THOMPSON), [QUERY] * 20)
        means.append(np.mean([order.index(one) for answer in found for one in explored(answer)]))
    assert means[0] < 26 < 32 < means[1]


def _all() -> Query:
    return replace(QUERY, limit=len(ITEMS) - 2)


def test_new_items_are_those_with_few_events_the_seldom_met_first(
    redis_url: str, model: ServingModel
) -> None:
    met = {item_id: float(model.events[row]) for row, item_id in enumerate(model.items.ids)}
    events = torch.tensor([{"i40": 0.0, "i41": 4.0}.get(one, 5.0) for one in met])
    listed = [Item(one, published_ms=10**12, revision=1) for one in ITEMS]
    counted = replace(model, events=events.double())
    asked = [replace(QUERY, exclude=frozenset({"i4"}))] * 200
    found = answers(redis_url, counted, explorer(0.05, NEW), asked, listed)
    times = Counter(one for answer in found for one in explored(answer))
    assert set(times) == {"i40", "i41"}
    assert times["i40"] > 2 * times["i41"] > 0


def test_what_is_in_the_answer_anyway_is_not_explored(redis_url: str, model: ServingModel) -> None:
    best = {item.item_id for item in answers(redis_url, model, None)[0].items}
    listed = [Item(one, published_ms=10**12, revision=1) for one in ITEMS]
    unmet = replace(model, events=torch.zeros_like(model.events))
    for answer in answers(redis_url, unmet, explorer(0.5, NEW), [QUERY] * 5, listed):
        assert len(explored(answer)) == 10
        assert not best & set(explored(answer))


def test_rules_hold_for_what_is_explored(redis_url: str, model: ServingModel) -> None:
    catalogue = [
        Item("later", published_ms=4 * 10**12, revision=1),
        Item("gone", available=False, revision=1),
        Item("kept-out", tags=("x",), revision=1),
        *(Item(f"one-{n}", categories=("a",), revision=1) for n in range(5)),
        Item("excluded", revision=1),
        Item("fine", revision=1),
    ]
    query = replace(
        QUERY,
        exclude=frozenset({"excluded"}),
        rules=Rules.of([Rule("tags", frozenset({"x"}), 0.0)]),
        max_per_category=1,
    )
    found = [
        explored(answer)
        for answer in answers(redis_url, model, explorer(0.5, NEW), [query] * 10, catalogue)
    ]
    for items in found:
        assert len(items) == 2
        assert sum(one.startswith("one-") for one in items) == 1
        assert "fine" in items
    narrow = replace(QUERY, categories=frozenset({"a"}), limit=4)
    answer = answers(redis_url, model, explorer(0.5, NEW), [narrow], catalogue)[0]
    assert len(explored(answer)) == 2
    assert {item.item_id[:3] for item in answer.items} == {"one"}


def test_an_answer_that_holds_all_there_is_explores_nothing(
    redis_url: str, model: ServingModel
) -> None:
    narrow = replace(QUERY, categories=frozenset({"a"}))
    catalogue = [Item(f"one-{n}", categories=("a",), revision=1) for n in range(5)]
    answer = answers(redis_url, model, explorer(0.5, NEW), [narrow], catalogue)[0]
    assert [item.source for item in answer.items] == ["latest"] * 5


def test_neither_lists_nor_likenesses_explore(redis_url: str, model: ServingModel) -> None:
    asked = [(path, Query(limit=10)) for path in ("similar", "latest", "popular", "trending")]
    exploring = explorer(0.5)
    for answer in asyncio.run(ask(redis_url, model, NEWS, [], asked, explorer=exploring)):
        assert not explored(answer)


def test_somebody_unknown_is_shown_new_items(redis_url: str, model: ServingModel) -> None:
    known = [Item(one, published_ms=2 * 10**12 - 10**11, revision=1) for one in ITEMS]
    stranger = [Query(user_id="nobody")]
    counted = replace(model, events=torch.full_like(model.events, 9.0))
    answer = answers(redis_url, counted, explorer(0.1), stranger, [*known, *NEWS])[0]
    assert answer.source == "fallback"
    assert len(explored(answer)) == 2
    assert set(explored(answer)) < {item.item_id for item in NEWS}


def test_an_explanation_says_how_an_item_was_found(redis_url: str, model: ServingModel) -> None:
    unsure = with_deviations(model, (), 0.5)
    query = replace(QUERY, explain=True)
    answer = answers(redis_url, unsure, explorer(0.5), [query])[0]
    found = [item for item in answer.items if item.source == EXPLORE]
    ways = Counter(item.sources for item in found)
    assert ways == {("thompson",): 5, ("new",): 5}
    assert any(item.because for item in found if item.sources == (THOMPSON,))


@pytest.mark.parametrize(
    "given",
    [
        {"explore_share": -0.1},
        {"explore_share": 0.51},
        {"explore_share": float("nan")},
        {"explore_method": "greedy"},
    ],
)
def test_what_cannot_be_is_refused_at_start(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        Settings.model_validate({"serving": given})


@pytest.mark.parametrize(
    ("method", "draws", "new"), [("both", 1, 1), ("thompson", 1, 0), ("new", 0, 1)]
)
def test_the_settings_say_what_is_explored(
    redis_url: str, model: ServingModel, method: str, draws: int, new: int
) -> None:
    serving = {"explore_share": 0.5, "explore_method": method}
    content = {"few_events": 1.0}
    settings = Settings.model_validate({"serving": serving, "content": content})
    unsure = with_deviations(model, (), 5.0)
    answer = answers(redis_url, unsure, Explorer.of(settings))[0]
    found = explored(answer)
    assert any(one in ITEMS for one in found) == bool(draws)
    assert any(one not in ITEMS for one in found) == bool(new)


def test_what_might_have_been_explored_is_boosted_and_made_diverse_all_the_same(
    redis_url: str, model: ServingModel
) -> None:
    """Exploring takes its places and nothing else: what it has looked at stands where it would."""
    on_sale = [Item(one, tags=("sale",), published_ms=10**12, revision=1) for one in ITEMS[30:]]
    unknown = replace(model, events=torch.zeros_like(model.events))
    boosting = Rules.of([Rule("tags", frozenset({"sale"}), 100.0)])
    for query in (replace(QUERY, rules=boosting), replace(QUERY, diversity=1e-9)):
        plain = answers(redis_url, unknown, None, [query], on_sale)[0]
        found = answers(redis_url, unknown, explorer(0.1, NEW), [query], on_sale)[0]
        chosen = set(explored(found))
        others = [item.item_id for item in found.items if item.source == MODEL]
        assert len(chosen) == 2
        assert others == [one.item_id for one in plain.items if one.item_id not in chosen][:18]
