"""Retrieval against a brute-force ranking of everything that is eligible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.continual.state import LearningState
from models.continual.window import learn_window
from service.domain.catalogue import Item
from service.domain.interactions import START
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.serving import retrieval
from service.serving.catalogue import CatalogueView
from service.serving.content_newcomers import Ranked
from service.serving.explain import explain
from service.serving.model import ServingModel
from service.serving.retrieval import Want, retrieve
from service.serving.rules import Eligibility
from tests.service.publishing import clicks, small_config

ITEMS = [f"i{number}" for number in range(60)]
ALL = Eligibility(CatalogueView())


def rankings(wants: Sequence[Want]) -> list[Ranked]:
    return [found.ranked for found in retrieve(wants)]


def learned(encoder: str) -> ServingModel:
    torch.set_num_threads(1)
    state = LearningState.initial(small_config(encoder))
    state = learn_window(state, clicks(40, len(ITEMS)), seed=0, draw=()).state
    record = VersionRecord(2, 1, VersionStatus.ACTIVE, Origin.INCREMENTAL, START, "", 0)
    return ServingModel.load(record, state.export())


@pytest.fixture(scope="module")
def model() -> ServingModel:
    return learned("gru")


@pytest.fixture(params=[0, 32], ids=["no-slack", "slack"], autouse=True)
def _slack(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no slack the first fetch is often too small, and more must be fetched."""
    monkeypatch.setattr(retrieval, "_SLACK", request.param)


def brute_force(want: Want) -> list[str]:
    """All learned items by score, less those that are not eligible."""
    model = want.model
    rows = [model.items.row(item) for item in want.history if item in model.items]
    query = model.encode([rows[-model.max_history :]], [-1])
    scores = (query @ model.vectors[:].T)[0].tolist()
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    eligible = [
        model.items.id(row)
        for row in order
        if model.items.id(row) not in want.eligible.exclude
        and want.eligible.view.allows(model.items.id(row), want.eligible.categories)
    ]
    return eligible[: want.limit]


catalogues = st.lists(
    st.builds(
        lambda item_id, categories, available: Item(
            item_id, categories=tuple(categories), available=available, revision=1
        ),
        st.sampled_from(ITEMS),
        st.sets(st.sampled_from("ab")),
        st.booleans(),
    ),
    unique_by=lambda item: item.item_id,
    max_size=60,
)


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    items=catalogues,
    asked=st.lists(
        st.tuples(
            st.lists(st.sampled_from([*ITEMS, "unknown"]), min_size=1, max_size=12),
            st.frozensets(st.sampled_from("abc")),
            st.frozensets(st.sampled_from(ITEMS)),
            st.integers(1, 70),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_what_is_retrieved_is_what_brute_force_finds(
    model: ServingModel,
    items: list[Item],
    asked: list[tuple[list[str], frozenset[str], frozenset[str], int]],
) -> None:
    view = CatalogueView().with_items(items)
    wants = [
        Want(
            model,
            Eligibility(view, categories=categories, exclude=exclude),
            limit,
            history=tuple(history),
        )
        for history, categories, exclude, limit in asked
    ]
    for want, ranked in zip(wants, rankings(wants), strict=True):
        if set(want.history) == {"unknown"}:
            assert ranked == []
            continue
        scores = [score for _, score in ranked]
        assert scores == sorted(scores, reverse=True)
        expected = brute_force(want)
        assert len(ranked) == len(expected)
        # near-equal scores may change places: a batch of another size rounds differently
        alone = dict(rankings([replace(want, limit=len(ITEMS))])[0])
        for (item_id, _), other in zip(ranked, expected, strict=True):
            assert item_id == other or alone[item_id] == pytest.approx(alone[other], abs=1e-4)


def test_a_user_known_by_row_alone_is_ranked_for_by_the_encoder_that_has_rows() -> None:
    by_row = learned("mf")
    known = Want(by_row, ALL, 5, user_id="u0")
    unknown = Want(by_row, ALL, 5, user_id="nobody")
    found = rankings([known, unknown])
    assert [len(ranked) for ranked in found] == [5, 0]


def test_a_user_without_history_is_unknown_to_the_encoder_of_histories(
    model: ServingModel,
) -> None:
    assert rankings([Want(model, ALL, 5, user_id="u0")]) == [[]]


def test_items_like_one_are_ranked_by_their_vectors(model: ServingModel) -> None:
    want = Want(model, Eligibility(CatalogueView(), exclude=frozenset({"i0"})), 59, like="i0")
    ranked = rankings([want])[0]
    expected = model.vectors[:] @ model.vectors[model.items.row("i0")]
    assert {item for item, _ in ranked} == set(model.items.ids) - {"i0"}
    for item, score in ranked:
        assert score == pytest.approx(float(expected[model.items.row(item)]), abs=1e-5)


def test_a_version_that_has_learned_nothing_ranks_nothing() -> None:
    record = VersionRecord(1, None, VersionStatus.ACTIVE, Origin.INITIAL, START, "", 0)
    empty = ServingModel.empty(record)
    assert rankings([Want(empty, ALL, 5, history=("i0",))]) == [[]]


def test_an_explanation_names_the_items_whose_absence_costs_most(model: ServingModel) -> None:
    history, item = ("i0", "i2", "i5", "unknown", "i0"), "i4"
    named = explain(model, history, None, [item])[0]

    def score(items: list[str]) -> float:
        rows = [model.items.row(name) for name in items]
        return float((model.encode([rows], [-1]) @ model.vectors[model.items.row(item)])[0])

    whole = score(["i0", "i2", "i5", "i0"])
    lost = {
        left_out: whole - score([name for name in ["i0", "i2", "i5", "i0"] if name != left_out])
        for left_out in ("i0", "i2", "i5")
    }
    expected = sorted((name for name in lost if lost[name] > 0), key=lambda name: -lost[name])
    assert list(named) == expected


@pytest.mark.parametrize("rows", ["float16", "int8"])
def test_compressed_rows_answer_nearly_the_same_and_explain_what_they_answered(rows: str) -> None:
    state = LearningState.initial(small_config("gru"))
    state = learn_window(state, clicks(40, len(ITEMS)), seed=0, draw=()).state
    record = VersionRecord(2, 1, VersionStatus.ACTIVE, Origin.INCREMENTAL, START, "", 0)
    plain, small = (ServingModel.load(record, state.export(), kind) for kind in ("float32", rows))
    wants = [Want(one, ALL, 10, history=("i0", "i2")) for one in (plain, small)]
    expected, found = (dict(rankings([want])[0]) for want in wants)
    assert len(expected.keys() & found.keys()) >= 8
    query = small.encode([[small.items.row(item) for item in ("i0", "i2")]], [-1])[0]
    for item, score in found.items():
        vector = small.vectors[[small.items.row(item)]][0]
        assert score == pytest.approx(float(vector @ query), rel=1e-4, abs=1e-4)
