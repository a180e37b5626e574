"""Newcomers in one ranking with learned items, and what may go wrong beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.content.features import Content, HashedTokens, Row
from models.continual.state import LearningState
from models.continual.window import learn_window
from service.domain.catalogue import Item
from service.domain.interactions import START
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.sections import ContentSettings
from service.serving.catalogue import CatalogueView
from service.serving.content import ContentFeed
from service.serving.content_newcomers import NOBODY, Newcomers
from service.serving.explain import explain
from service.serving.model import ServingModel
from service.serving.retrieval import Want, retrieve
from service.serving.rules import Eligibility
from service.telemetry import Metrics
from tests.service.publishing import clicks, small_config

RECORD = VersionRecord(2, 1, VersionStatus.ACTIVE, Origin.INCREMENTAL, START, "", 0)
KINDS = ("red running shoe", "blue garden hose")
HISTORY = ("i0", "i2", "i4")


@pytest.fixture(scope="module")
def model() -> ServingModel:
    """Two tastes, items of even number and of odd, each met a few times."""
    return loaded("float32")


def loaded(rows: str) -> ServingModel:
    torch.set_num_threads(1)
    state = LearningState.initial(replace(small_config(), epochs=8))
    for seed in range(3):
        state = learn_window(state, clicks(40, 40, per_user=12), seed=seed, draw=()).state
    return ServingModel.load(RECORD, state.export(), rows)


def item(item_id: str, side: int, revision: int = 1) -> Item:
    return Item(item_id, f"{KINDS[side]} {item_id}", categories=(KINDS[side],), revision=revision)


CATALOGUE = [item(f"i{number}", number % 2) for number in range(40)]


def feed(vectoriser: HashedTokens | None = None, **said: float) -> ContentFeed:
    return ContentFeed(
        ContentSettings.model_validate(said), Metrics(), vectoriser or HashedTokens()
    )


def is_due(content: ContentFeed) -> bool:
    return content.due


def ranked(model: ServingModel, content: ContentFeed, view: CatalogueView, limit: int) -> list[str]:
    want = Want(
        model, Eligibility(view, exclude=frozenset(HISTORY)), limit, history=HISTORY,
        newcomers=content.newcomers(model),
    )  # fmt: skip
    return [item_id for item_id, _ in retrieve([want])[0].ranked]


def test_a_write_is_ranked_by_its_text_among_the_learned_items(model: ServingModel) -> None:
    content = feed()
    content.apply(CATALOGUE)
    served = content.prepare(model)
    assert len(content.newcomers(served)) == 0
    content.apply([item("decoy", 1), item("new", 0), Item("mute", revision=1)])
    found = ranked(served, content, CatalogueView(), 42)
    assert found.index("new") < found.index("decoy")
    assert found.index("new") < 20
    assert "mute" not in found
    content.apply([item("new", 1, 2)])
    assert abs(ranked(served, content, CatalogueView(), 42).index("new") - len(found)) < 25
    content.apply([Item("new", deleted=True, revision=3)])
    assert "new" not in ranked(served, content, CatalogueView(), 42)


def test_a_version_taken_later_foretells_what_it_does_not_know(model: ServingModel) -> None:
    content = feed()
    content.apply([*CATALOGUE, item("new", 0)])
    served = content.prepare(model)
    assert content.newcomers(served).ids == ("new",)
    assert content.newcomers(loaded("float32")) is NOBODY  # another version, not prepared


@pytest.mark.parametrize("rows", ["float32", "int8"])
def test_items_with_few_events_lean_on_their_text(rows: str) -> None:
    model, content = loaded(rows), feed(few_events=1e6)
    content.apply(CATALOGUE[:-1])
    served = content.prepare(model)
    before, after = model.vectors[:], served.vectors[:]
    last = model.items.row("i39")
    torch.testing.assert_close(after[last], before[last], atol=1e-2, rtol=0)

    def spread(vectors: torch.Tensor) -> float:
        even = vectors[model.items.rows(f"i{number}" for number in range(0, 38, 2))]
        return float((even - even.mean(0)).norm())

    assert spread(after) < 0.7 * spread(before)
    np.testing.assert_allclose(after.norm(dim=1), 1.0, atol=2e-2)
    assert served.items is model.items
    untouched = feed(few_events=0)
    untouched.apply(CATALOGUE)
    torch.testing.assert_close(untouched.prepare(model).vectors[:], before)


def test_a_fit_is_due_when_learned_items_change_and_not_for_newcomers(model: ServingModel) -> None:
    content = feed()
    served = content.prepare(model)
    content.apply(CATALOGUE)
    assert is_due(content)
    served = content.prepare(served)
    content.apply([item("new", 0)])
    assert content.newcomers(served).ids == ("new",)
    assert not is_due(content)


def test_no_texts_and_a_version_that_learned_nothing_change_nothing(model: ServingModel) -> None:
    content = feed()
    assert content.prepare(model) is model
    content.apply(CATALOGUE)
    empty = ServingModel.empty(RECORD)
    assert content.prepare(empty) is empty
    off = feed(max_items=0)
    off.apply(CATALOGUE)
    assert len(off.index) == 0
    assert off.prepare(model) is model


def test_what_breaks_on_texts_costs_neither_a_write_nor_a_swap(
    model: ServingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(HashedTokens):
        def rows(self, contents: Sequence[Content]) -> list[Row]:
            raise RuntimeError("a model of somebody else's")

    feed(Broken()).apply(CATALOGUE)
    content = feed()
    content.apply(CATALOGUE)
    monkeypatch.setattr("service.serving.content.Tower.fit", lambda *_, **__: 1 / 0)
    assert content.prepare(model) is model


def test_newcomers_are_bounded_to_the_latest(model: ServingModel) -> None:
    content = feed(max_new=2)
    content.apply(CATALOGUE)
    served = content.prepare(model)
    for name in "abc":
        content.apply([item(name, 0)])
    assert content.newcomers(served).ids == ("b", "c")


def test_an_explanation_of_a_newcomer_names_the_history(model: ServingModel) -> None:
    content = feed()
    content.apply([*CATALOGUE, item("new", 0)])
    served = content.prepare(model)
    newcomers = content.newcomers(served)
    found = explain(served, HISTORY, None, ["new", "i6"], newcomers=newcomers)
    assert found[0]
    assert set(found[0]) <= set(HISTORY)
    assert found[1] == explain(served, HISTORY, None, ["i6"])[0]


@settings(deadline=None, max_examples=60)
@given(
    scores=st.lists(st.integers(-9, 9), max_size=60),
    learned=st.lists(st.integers(-9, 9), max_size=10),
    limit=st.integers(1, 12),
    hidden=st.sets(st.integers(0, 60)),
)
def test_the_joined_ranking_is_the_best_of_both(
    scores: list[int], learned: list[int], limit: int, hidden: set[int]
) -> None:
    newcomers = Newcomers(
        tuple(f"n{place}" for place in range(len(scores))),
        torch.tensor(scores, dtype=torch.float32).reshape(-1, 1),
    )
    old = [(f"i{place}", float(score)) for place, score in enumerate(sorted(learned)[::-1])][:limit]
    found = newcomers.joined(torch.ones(1), old, limit, lambda name: int(name[1:]) not in hidden)
    allowed = [float(score) for place, score in enumerate(scores) if place not in hidden]
    expected = sorted([*allowed, *(score for _, score in old)], reverse=True)[:limit]
    assert [score for _, score in found] == expected
    assert len({name for name, _ in found}) == len(found)
    assert not {name for name, _ in found} & {f"n{place}" for place in hidden}
