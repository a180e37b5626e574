"""The index against a plain matrix of cosines, over many writes."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.content import neighbours
from models.content.features import EMPTY, Content, HashedTokens, Row
from models.content.neighbours import ContentIndex

WIDTH = 1 << 12
WORDS = ["red", "blue", "shoe", "hose", "garden", "run"]
texts = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
writes = st.lists(
    st.dictionaries(st.integers(0, 15).map("i{}".format), texts, max_size=6), max_size=12
)


def row(text: str) -> Row:
    return HashedTokens(WIDTH).rows([Content(text)])[0]


def index_of(*texts: str) -> ContentIndex:
    rows = {f"i{place}": row(text) for place, text in enumerate(texts)}
    return ContentIndex.empty(WIDTH, 100).with_rows(rows)


@settings(deadline=None, max_examples=30)
@given(writes=writes, asked=st.integers(0, 15), share=st.sampled_from([1, 1_000]))
def test_neighbours_are_those_of_brute_force_after_any_writes(
    writes: list[dict[str, str]], asked: int, share: int
) -> None:
    kept = neighbours._CHANGES_SHARE
    neighbours._CHANGES_SHARE = share  # nearly always changes, nearly always laid out anew
    try:
        index, said = ContentIndex.empty(WIDTH, 100), dict[str, str]()
        for write in writes:
            index = index.with_rows({item: row(text) for item, text in write.items()})
            said |= write
    finally:
        neighbours._CHANGES_SHARE = kept
    said = {item: text for item, text in said.items() if text}
    assert {item for item in (f"i{n}" for n in range(16)) if item in index} == set(said)
    weights = index._base.weights
    dense = {item: np.zeros(WIDTH) for item in said}
    for item, text in said.items():
        made = row(text)
        dense[item][made.columns] = made.values * weights[made.columns]
        dense[item] /= np.linalg.norm(dense[item])
    item = f"i{asked}"
    expected = {other: float(dense[other] @ dense[item]) for other in dense if item in dense}
    expected = {other: s for other, s in expected.items() if s > 1e-9 and other != item}
    found = index.similar(item, 100)
    assert dict(found).keys() == expected.keys()
    assert [s for _, s in found] == sorted((s for _, s in found), reverse=True)
    for other, score in found:
        assert score == pytest.approx(expected[other], abs=1e-5)


def test_a_history_proposes_what_is_like_its_weightiest_items() -> None:
    index = index_of("red shoe", "red run shoe", "blue hose", "blue garden hose", "")
    items = index.items
    for weights, best in (([1.0, 0.1], "i1"), ([0.1, 1.0], "i3")):
        rows, scores = index.propose(items.rows(["i0", "i2"]), weights, 4)
        ranked = [items.id(place) for place in rows.tolist() if items.id(place) not in ("i0", "i2")]
        assert ranked[0] == best
        assert np.isfinite(scores).all()
        assert bool((np.diff(scores) <= 0).all())
    assert len(index.propose([], [], 5)[0]) == len(index.propose([-1], [1.0], 5)[0]) == 0
    assert len(index.propose(items.rows(["i0"]), [1.0], 1)[0]) == 1


def test_a_rare_word_says_more_than_a_common_one() -> None:
    index = index_of("red shoe", "red hose", "garden shoe", "red", "red run", "red garden")
    assert index.similar("i0", 1)[0][0] == "i2"


def test_what_is_not_allowed_is_passed_over_however_much_that_is() -> None:
    index = ContentIndex.empty(WIDTH, 500).with_rows({f"i{n}": row("red shoe") for n in range(300)})
    assert [item for item, _ in index.similar("i0", 3, lambda item: item == "i299")] == ["i299"]
    assert index.similar("nobody", 3) == []


def test_a_word_that_everybody_has_costs_no_more_than_its_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = {f"i{n}": row(f"product word{n // 2}") for n in range(5_000)}
    index = ContentIndex.empty(WIDTH, 20_000).with_rows(texts)
    monkeypatch.setattr(neighbours, "_MAX_POSTINGS", 2)
    found = index.similar("i0", 20)
    assert [item for item, _ in found] == ["i1"]  # the rare word came first, and filled it


def test_of_a_long_history_the_rarest_words_are_read_though_a_common_one_weighs_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = {f"i{n}": row(f"product word{n // 2}") for n in range(1_000)}
    index = ContentIndex.empty(WIDTH, 2_000).with_rows(texts)
    asked = index.items.rows([f"i{n}" for n in range(0, 40, 2)])
    everybody = index.propose(asked, np.ones(20), 1_000)[0]
    monkeypatch.setattr(neighbours, "_MAX_POSTINGS", 1_000)
    near = index.propose(asked, np.ones(20), 1_000)[0]
    assert len(everybody) == 1_000
    assert set(index.items.rows([f"i{n}" for n in range(40)])) <= set(near)
    assert len(near) < 100, "some rare words share a column; the common one is not read"


def test_the_index_is_bounded_and_what_is_taken_out_leaves_its_place() -> None:
    index = ContentIndex.empty(WIDTH, 3)
    for number in range(10):
        index = index.with_rows({f"i{number}": row("red")})
    assert len(index) == 3
    index = index.with_rows({"i0": EMPTY}).with_rows({"new": row("red")})
    assert "i0" not in index
    assert "new" in index
    assert {item for item, _ in index.similar("new", 9)} == {"i1", "i2"}


def test_an_index_once_taken_does_not_change() -> None:
    before = index_of("red shoe", "red hose")
    before.with_rows({"i0": EMPTY, "i9": row("red")})
    assert [item for item, _ in before.similar("i0", 9)] == ["i1"]


def test_rows_in_which_every_column_is_set_are_searched_whole() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns = np.arange(32, dtype=np.int32)
    rows = {f"i{n}": Row(columns, vector) for n, vector in enumerate(vectors)}
    index = ContentIndex.empty(32, 100).with_rows(rows)
    found = dict(index.similar("i3", 100))
    expected = vectors @ vectors[3]
    assert found.keys() == {f"i{n}" for n in np.flatnonzero(expected > 0) if n != 3}
    for item, score in found.items():
        assert score == pytest.approx(float(expected[int(item[1:])]), abs=1e-5)


def test_a_write_costs_far_less_than_the_index() -> None:
    index = ContentIndex.empty(WIDTH, 50_000)
    index = index.with_rows({f"i{n}": row(f"word{n % 99} w{n}") for n in range(10_000)})
    fresh = row("word1 fresh")
    started = time.process_time()
    for number in range(20):
        index = index.with_rows({f"n{number}": fresh})
    assert time.process_time() - started < 0.2  # 10 ms each
