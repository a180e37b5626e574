"""From an item's text to a sparse row of features: hashed tokens, nothing to fit, nothing to load.

A width is wide enough (2^18) that two tokens of a catalogue seldom share a column, and is the same
in every process, so a row needs no vocabulary beside it.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

WIDTH = 1 << 18
MAX_TOKENS = 128
_MAX_CHARACTERS = 20_000
_MAX_LABEL = 64
_TITLE_WEIGHT = 2.0
_LABEL_WEIGHT = 2.0
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]+")
"""Scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana and ideographs."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an item says of itself."""

    title: str = ""
    description: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Only those whose value is text count."""


class Row(NamedTuple):
    """A sparse row of features: finite, of length one, or empty where there is no text."""

    columns: npt.NDArray[np.int32]
    """[n], ascending, each once."""
    values: npt.NDArray[np.float32]
    """[n]."""


EMPTY = Row(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))


class Vectoriser(Protocol):
    """Makes rows of contents; the same content has the same row in every process."""

    @property
    def width(self) -> int:
        """How many columns there are."""
        ...

    def rows(self, contents: Sequence[Content]) -> list[Row]:
        """A row for each content, in their order; an empty one where there is nothing to read."""
        ...


class HashedTokens:
    """Words, and categories, tags and attributes as tokens of their own, hashed into columns.

    A token weighs 1 + log of how often it occurs, words of the title and labels twice. Words are
    compared without case in Unicode's compatible form; where a script does not space them, pairs of
    neighbouring characters stand in. Columns carry no sign: so few tokens meet in 2^18 columns that
    cancelling would buy nothing, and sums stay readable.

    Args:
        width: columns.
        max_tokens: tokens kept of one item, those that weigh most.

    Source: Weinberger et al., 2009 (arXiv 0902.2206). Deviation: no signs.
    """

    def __init__(self, width: int = WIDTH, max_tokens: int = MAX_TOKENS) -> None:
        if width < 1 or max_tokens < 1:
            raise ValueError(f"width and max_tokens: at least 1, got {width} and {max_tokens}")
        self._width = width
        self._max_tokens = max_tokens

    @property
    def width(self) -> int:
        return self._width

    def rows(self, contents: Sequence[Content]) -> list[Row]:
        return [self._row(content) for content in contents]

    def _row(self, content: Content) -> Row:
        weights: dict[str, float] = {}
        counts: dict[str, int] = {}
        for token, weight in _tokens(content):
            counts[token] = counts.get(token, 0) + 1
            weights[token] = max(weight, weights.get(token, 0.0))
        if not counts:
            return EMPTY
        weighed = {token: weights[token] * (1.0 + math.log(n)) for token, n in counts.items()}
        if len(weighed) > self._max_tokens:
            best = sorted(weighed, key=lambda token: (-weighed[token], token))
            weighed = {token: weighed[token] for token in best[: self._max_tokens]}
        sums: dict[int, float] = {}
        for token, weight in weighed.items():
            column = _hash(token) % self._width
            sums[column] = sums.get(column, 0.0) + weight
        norm = math.sqrt(sum(value * value for value in sums.values()))
        columns = sorted(sums)
        return Row(
            np.array(columns, dtype=np.int32),
            np.array([sums[column] / norm for column in columns], dtype=np.float32),
        )


def stacked(rows: Sequence[Row], width: int) -> csr_matrix:
    """Rows as one matrix [len(rows), width]."""
    lengths = [len(row.columns) for row in rows]
    return csr_matrix(
        (
            np.concatenate([row.values for row in rows]) if rows else EMPTY.values,
            np.concatenate([row.columns for row in rows]) if rows else EMPTY.columns,
            np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))),
        ),
        shape=(len(rows), width),
    )


def _tokens(content: Content) -> Iterator[tuple[str, float]]:
    """Tokens as they come, with the weight of where they stand."""
    for category in content.categories:
        yield _label("category", category), _LABEL_WEIGHT
    for tag in content.tags:
        yield _label("tag", tag), _LABEL_WEIGHT
    for name, value in content.attributes.items():
        if isinstance(value, str) and value.strip():
            if len(value) <= _MAX_LABEL:
                yield _label(name, value), _LABEL_WEIGHT
            else:
                yield from ((word, 1.0) for word in _words(value))
    yield from ((word, _TITLE_WEIGHT) for word in _words(content.title))
    yield from ((word, 1.0) for word in _words(content.description))


def _label(kind: str, value: str) -> str:
    """A token that no word can be, for words hold no control character."""
    return f"{kind}\0{_plain(value).strip()}"


def _words(text: str) -> Iterator[str]:
    for word in _WORD.findall(_plain(text[:_MAX_CHARACTERS])):
        if word.isascii() or not _UNSPACED.search(word):
            yield word
        else:
            yield from _pairs(word)


def _pairs(word: str) -> Iterator[str]:
    """Pairs of neighbouring characters, or the only one."""
    yield from (word[at : at + 2] for at in range(max(1, len(word) - 1)))


def _plain(text: str) -> str:
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


@lru_cache(maxsize=1 << 16)
def _hash(token: str) -> int:
    return zlib.crc32(token.encode("utf-8", "surrogatepass"))
