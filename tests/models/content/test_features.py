"""Rows of texts: finite, of length one, the same everywhere, bounded."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.content.features import Content, HashedTokens, Row, stacked

words = st.text(max_size=20)
contents = st.builds(
    Content,
    title=words,
    description=words,
    categories=st.lists(words, max_size=3).map(tuple),
    tags=st.lists(words, max_size=3).map(tuple),
    attributes=st.dictionaries(words, st.one_of(words, st.floats(), st.none()), max_size=3),
)


def cosine(one: Content, other: Content) -> float:
    rows = HashedTokens().rows([one, other])
    return float((stacked(rows, HashedTokens().width) @ stacked(rows, 1 << 18).T)[0, 1])


@settings(deadline=None, max_examples=40)
@given(content=contents)
def test_a_row_is_finite_of_length_one_or_empty(content: Content) -> None:
    row = HashedTokens(max_tokens=16).rows([content])[0]
    assert len(row.columns) == len(row.values) <= 16
    assert bool((np.diff(row.columns) > 0).all())
    assert bool(np.isfinite(row.values).all())
    assert not len(row.values) or np.linalg.norm(row.values) == pytest.approx(1.0, abs=1e-5)


def test_nothing_to_read_is_an_empty_row() -> None:
    rows = HashedTokens().rows([Content(), Content(" …!", "\n", attributes={"price": 3.0})])
    assert [len(row.columns) for row in rows] == [0, 0]


def test_case_and_form_do_not_matter() -> None:
    assert cosine(Content("STRASSE Éclair"), Content("straße E\u0301clair")) > 0.999


def test_scripts_without_spaces_share_what_they_have_in_common() -> None:
    assert cosine(Content("東京都庁"), Content("東京駅")) > 0.1
    assert cosine(Content("東京"), Content("大阪")) == 0.0


def test_a_label_is_no_word_and_counts_beside_it() -> None:
    assert cosine(Content(categories=("red shoes",)), Content("red shoes")) == 0.0
    assert cosine(Content(categories=("Red",)), Content(tags=("red",))) == 0.0
    assert cosine(Content(attributes={"brand": "Acme"}), Content(attributes={"brand": "ACME"})) > 0


def test_a_word_said_often_weighs_less_than_so_often() -> None:
    row = HashedTokens().rows([Content(description="shoe " * 100 + "red")])[0]
    assert row.values.max() / row.values.min() == pytest.approx(1 + np.log(100), rel=1e-5)


def test_a_text_of_a_megabyte_costs_no_more_than_its_bound() -> None:
    text = " ".join(f"word{number}" for number in range(100_000))
    row = HashedTokens(max_tokens=32).rows([Content(title="shoe", description=text)])[0]
    assert len(row.columns) == 32
    assert cosine(Content("shoe"), Content("shoe", text)) > 0  # the title outweighs the rest


def test_another_process_makes_the_same_row() -> None:
    code = (
        "from models.content.features import *;"
        "r = HashedTokens().rows([Content('red shoe', categories=('a',))])[0];"
        "print(r.columns.tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    row = HashedTokens().rows([Content("red shoe", categories=("a",))])[0]
    assert said.stdout.strip() == str(row.columns.tolist())


def test_rows_are_stacked_in_their_order() -> None:
    rows = HashedTokens().rows([Content("a b"), Content(), Content("b")])
    matrix = stacked(rows, HashedTokens().width)
    assert np.diff(matrix.indptr).tolist() == [2, 0, 1]
    assert matrix.indices[2] == rows[2].columns[0]
    assert stacked([], 8).shape == (0, 8)
    with pytest.raises(ValueError, match="at least 1"):
        HashedTokens(max_tokens=0)
    assert isinstance(rows[0], Row)
