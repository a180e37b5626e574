"""What every vectoriser owes, hashed words and a sentence model alike.

No sentence-transformers model is to be had here, so a small one with its interface stands in: what
is tested is our side of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from models.content.features import Content, HashedTokens, Vectoriser, stacked
from models.content.neighbours import ContentIndex
from service.sections import ContentSettings
from service.settings import Settings
from service.vectoriser import SentenceVectors, make_vectoriser

CONTENTS = [
    Content("red running shoe", "light", ("run",), ("new",), {"brand": "Acme", "price": 3.0}),
    Content(),
    Content("blue garden hose", categories=("garden",)),
    Content("red running shoe", "light and quick", ("run",)),
    Content("東京 🥾", description="\n" * 10),
    Content(title="shoe " * 50_000),
]


class WordModel:
    """`SentenceTransformer` as far as it is called: a mean of vectors drawn for each word."""

    def get_sentence_embedding_dimension(self) -> int:
        return 48

    def encode(self, sentences: Sequence[str], **said: Any) -> npt.NDArray[np.float32]:
        assert said["normalize_embeddings"]
        assert said["convert_to_numpy"]
        vectors = np.stack([self._mean(sentence.lower().split()) for sentence in sentences])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / lengths, dtype=np.float32)

    def _mean(self, words: Sequence[str]) -> npt.NDArray[np.float64]:
        drawn = [np.random.default_rng(zlib.crc32(w.encode())).normal(size=48) for w in words[:99]]
        return np.asarray(np.mean(drawn, axis=0))


@pytest.fixture(params=[HashedTokens, lambda: SentenceVectors(WordModel())], ids=["hash", "model"])
def vectoriser(request: pytest.FixtureRequest) -> Vectoriser:
    made: Vectoriser = request.param()
    return made


def test_a_row_for_each_content_in_order_whatever_stands_beside_it(vectoriser: Vectoriser) -> None:
    together = vectoriser.rows(CONTENTS)
    alone = [vectoriser.rows([content])[0] for content in CONTENTS]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.columns, other.columns)
        np.testing.assert_allclose(one.values, other.values, atol=1e-6)
    assert vectoriser.rows([]) == []


def test_rows_are_finite_of_length_one_within_the_width_or_empty(vectoriser: Vectoriser) -> None:
    for place, row in enumerate(vectoriser.rows(CONTENTS)):
        assert np.isfinite(row.values).all()
        assert row.values.dtype == np.float32
        assert (np.diff(row.columns) > 0).all()
        if place == 1:
            assert len(row.columns) == 0
        else:
            assert np.linalg.norm(row.values) == pytest.approx(1.0, abs=1e-5)
            assert 0 <= row.columns[0] <= row.columns[-1] < vectoriser.width


def test_what_reads_alike_lies_close_and_is_found_so(vectoriser: Vectoriser) -> None:
    rows = {f"i{place}": row for place, row in enumerate(vectoriser.rows(CONTENTS))}
    index = ContentIndex.empty(vectoriser.width, 100).with_rows(rows)
    assert index.similar("i0", 5)[0][0] == "i3"
    matrix = stacked(list(rows.values()), vectoriser.width)
    cosines = (matrix @ matrix.T).toarray()
    assert cosines[0, 3] > cosines[0, 2]


def test_no_model_named_is_hashed_words() -> None:
    assert isinstance(make_vectoriser(ContentSettings()), HashedTokens)


def test_a_model_without_its_package_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValidationError, match=r"'all-MiniLM-L6-v2' needs the package sentence-tr"):
        Settings(_env_file=None, content=ContentSettings(model="all-MiniLM-L6-v2"))
