"""Neighbours by content: the items whose features are closest to those of a history.

An index is immutable: who took one reads one state whatever is written meanwhile. It is a large
base, laid out by column to be searched, and a small set of later rows; when these outgrow a
sixteenth of the base, it is laid out anew and its tokens are weighed anew by how many items have
them. So a write costs microseconds, and no fit is ever due.

Legend: N rows, K list length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_matrix, csr_matrix, diags, vstack

from models.content.features import EMPTY, Row, stacked
from models.ordered import among, are_first
from models.vocabulary import Vocabulary

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Found = tuple[Ints, Floats]
"""Rows, ascending, and their scores, above 0; no others have any."""

_CHANGES_SHARE = 16
_QUERY_TOKENS = 64
_MAX_POSTINGS = 65_536
"""Entries of columns that are read for a query whose every column is read."""
_RARE_SHARE = 8
"""Of a query with more, the rarest columns, as far as this part of it goes."""
_DENSE_SHARE = 4
_SLACK = 32
_GROWTH = 4
_FEW = 8
"""To sort a column's entries is quicker where there are so many rows to each."""
_NOBODY: Found = np.empty(0, dtype=np.int64), np.empty(0)


@dataclass(frozen=True, slots=True)
class _Base:
    """Rows as they were when last laid out, weighted and of length one."""

    weights: npt.NDArray[np.float32]
    """[width], what a column is worth: log((1 + N) / (1 + items that have it)) + 1."""
    rows: csr_matrix
    columns: csc_matrix | npt.NDArray[np.float32]
    """The same by column; an array where most entries are set."""

    @classmethod
    def build(cls, raw: csr_matrix) -> _Base:
        count, width = raw.shape
        having = np.bincount(raw.indices, minlength=width)
        weights = (np.log((1.0 + count) / (1.0 + having)) + 1.0).astype(np.float32)
        rows = raw @ diags(weights, format="csr")
        norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1))[:, 0])
        rows = (diags(1.0 / np.maximum(norms, 1e-12)) @ rows).tocsr().astype(np.float32)
        dense = rows.nnz * _DENSE_SHARE > count * width > 0
        return cls(weights, rows, rows.toarray() if dense else rows.tocsc())

    def alike(self, query: Row) -> Found:
        """Inner products with a query.

        A column that many items have takes long to read and tells little. So of a query that has
        more than 65,536 entries the rarest columns are read, to 8,192 entries, and one at least.
        Asked by histories among 100,000 items of twenty words, 84 of the 100 closest are among the
        100 found, against 85 with eight times as many entries, and 82 where the weightiest columns
        are read instead, which are the commonest.
        """
        if isinstance(self.columns, np.ndarray):
            return _above_zero(np.asarray(self.columns @ _dense(query, self.columns.shape[1])))
        starts, stops = (self.columns.indptr[query.columns + more] for more in (0, 1))
        chosen = _affordable((stops - starts).astype(np.int64))
        spans = list(map(slice, starts[chosen].tolist(), stops[chosen].tolist()))
        if not spans:
            return _NOBODY
        rows = np.concatenate([self.columns.indices[span] for span in spans])
        weights = np.concatenate([self.columns.data[span] for span in spans])
        weights *= np.repeat(query.values[chosen], (stops - starts)[chosen])
        summed = np.bincount(rows, weights, self.rows.shape[0])
        if len(rows) * _FEW > len(summed):
            return _above_zero(summed)
        rows = np.sort(rows)  # quicker than to look at all of them
        rows = rows[are_first(rows)].astype(np.int64)
        scores = summed[rows]
        above = scores > 0.0
        return rows[above], scores[above]


@dataclass(frozen=True, slots=True)
class ContentIndex:
    """Rows of items, one state of them; made by `ContentIndex.empty`, then by `with_rows`.

    Attributes:
        items: the items in the order of their rows, which mean something in this state alone.
    """

    items: Vocabulary
    _width: int
    _max_items: int
    _raw: csr_matrix
    """Rows of the base before they were weighted."""
    _base: _Base
    _changes: Mapping[int, Row] = field(default_factory=dict)
    """Raw rows that replace those of the base, or stand behind it; an empty one is gone."""
    _changed: csr_matrix | None = None
    """The same, weighted, by place."""
    _places: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Theirs, ascending."""

    @classmethod
    def empty(cls, width: int, max_items: int) -> ContentIndex:
        """An index without items.

        Args:
            width: columns of the rows to come.
            max_items: items that it takes; rows of others are left out.
        """
        raw = stacked([], width)
        return cls(Vocabulary(), width, max_items, raw, _Base.build(raw))

    def __len__(self) -> int:
        """Rows given, emptied ones among them."""
        return len(self.items)

    def __contains__(self, item_id: object) -> bool:
        """Whether the item has features."""
        return isinstance(item_id, str) and bool(len(self.row(item_id).columns))

    def row(self, item_id: str) -> Row:
        """The item's features as they were given; empty where it has none."""
        place = self.items.row(item_id)
        return EMPTY if place < 0 else self._raw_row(place)

    def rows(self, item_ids: Sequence[str]) -> csr_matrix:
        """Features as they were given [len(item_ids), width]; zeros where an item has none."""
        return stacked([self.row(item_id) for item_id in item_ids], self._width)

    def with_rows(self, rows: Mapping[str, Row]) -> ContentIndex:
        """An index in which these items have these rows; an empty row takes the item out."""
        room = self._max_items - len(self.items)
        fresh = [item for item, row in rows.items() if item not in self.items and len(row.columns)]
        items = self.items
        if fresh and room > 0:
            items = self.items.copy()
            items.grow(fresh[:room])
        changes = dict(self._changes)
        changes.update(
            (place, row) for item, row in rows.items() if (place := items.row(item)) >= 0
        )
        if len(changes) * _CHANGES_SHARE > len(items):
            return self._laid_out(items, changes)
        places = sorted(changes)
        changed = _weighted([changes[at] for at in places], self._base.weights, self._width)
        return replace(
            self,
            items=items,
            _changes=changes,
            _changed=changed,
            _places=np.asarray(places, dtype=np.int64),
        )

    def _laid_out(self, items: Vocabulary, changes: Mapping[int, Row]) -> ContentIndex:
        """The base made anew; emptied rows go, so that tombstones take no room."""
        stays = np.diff(self._raw.indptr) > 0
        stays[[place for place in changes if place < len(stays)]] = False
        kept = np.flatnonzero(stays)
        later = [place for place in sorted(changes) if len(changes[place].columns)]
        raw = vstack(
            [self._raw[kept], stacked([changes[place] for place in later], self._width)],
            format="csr",
        )
        left = Vocabulary(items.id(place) for place in (*kept.tolist(), *later))
        return ContentIndex(left, self._width, self._max_items, raw, _Base.build(raw))

    def alike(self, history: Sequence[int] | Ints, weights: Sequence[float] | Floats) -> Found:
        """Rows [n], ascending, and their cosines [n] with the weighted sum of a history's rows.

        What has nothing in common is not answered.

        Of a long query among many rows, what its rarest columns make of it.

        Args:
            history: rows of this index; negative ones are passed over.
            weights: what each is worth, above 0.
        """
        return self._alike(self._query(history, weights))

    def propose(
        self, history: Sequence[int] | Ints, weights: Sequence[float] | Floats, k: int
    ) -> tuple[Ints, Floats]:
        """The rows closest to a history: cosine with the weighted sum of its rows.

        The history's own rows are among them. What has nothing in common is not answered.

        Args:
            history: rows of this index; negative ones are passed over.
            weights: what each is worth, above 0.
            k: how many at most.

        Returns:
            Rows [≤ k] int64 and scores [≤ k] in (0, 1], best first.
        """
        found = list(_best(*self.alike(history, weights), k, lambda _: True))
        return (
            np.asarray([place for place, _ in found], dtype=np.int64),
            np.asarray([score for _, score in found], dtype=np.float64),
        )

    def similar(
        self, item_id: str, k: int, allows: Callable[[str], bool] = lambda _: True
    ) -> list[tuple[str, float]]:
        """The items closest to one, itself left out, and their cosines, best first.

        Args:
            allows: an item for which this is false is passed over.
        """
        own = self.items.row(item_id)
        if own < 0:
            return []
        alike = self.alike([own], [1.0])
        found = _best(*alike, k, lambda at: at != own and allows(self.items.id(at)))
        return [(self.items.id(place), score) for place, score in found]

    def _raw_row(self, place: int) -> Row:
        if (changed := self._changes.get(place)) is not None:
            return changed
        if place >= self._raw.shape[0]:
            return EMPTY
        return _row(self._raw, place)

    def _query(self, history: Sequence[int] | Ints, weights: Sequence[float] | Floats) -> Row:
        """A history's features, of length one: its weightiest columns alone."""
        rows, factors = np.asarray(history, dtype=np.int64), np.asarray(weights)
        columns, values = self._entries(rows[rows >= 0], factors[rows >= 0])
        columns, group = np.unique(columns, return_inverse=True)
        sums = np.bincount(group, weights=values, minlength=len(columns))
        norm = float(np.sqrt(sums @ sums))
        if not norm > 0.0:
            return EMPTY
        if len(sums) > _QUERY_TOKENS and not isinstance(self._base.columns, np.ndarray):
            kept = np.sort(np.argpartition(-np.abs(sums), _QUERY_TOKENS)[:_QUERY_TOKENS])
            columns, sums = columns[kept], sums[kept]
        return Row(columns.astype(np.int32), (sums / norm).astype(np.float32))

    def _entries(self, rows: Ints, factors: Floats) -> tuple[Ints, Floats]:
        """Columns and values of rows, one row after the other, times each row's factor."""
        if self._changed is None:
            return _entries(self._base.rows, rows, factors)
        at, later = among(self._places, rows)
        parts = (
            _entries(self._base.rows, rows[~later], factors[~later]),
            _entries(self._changed, at[later], factors[later]),
        )
        columns, values = (np.concatenate(both) for both in zip(*parts, strict=True))
        return columns, values

    def _alike(self, query: Row) -> Found:
        if not len(query.columns):
            return _NOBODY
        rows, scores = self._base.alike(query)
        if self._changed is None:
            return rows, scores
        stays = ~np.isin(rows, self._places, assume_unique=True)
        later, theirs = _above_zero(self._changed @ _dense(query, self._width))
        rows = np.concatenate((rows[stays], self._places[later]))
        order = np.argsort(rows)
        return rows[order], np.concatenate((scores[stays], theirs))[order]


def _row(matrix: csr_matrix, place: int) -> Row:
    span = slice(matrix.indptr[place], matrix.indptr[place + 1])
    return Row(matrix.indices[span], matrix.data[span])


def _entries(matrix: csr_matrix, rows: Ints, factors: Floats) -> tuple[Ints, Floats]:
    starts = matrix.indptr[rows]
    lengths = matrix.indptr[rows + 1] - starts
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    entries = np.repeat(starts, lengths) + within
    return matrix.indices[entries], matrix.data[entries] * np.repeat(factors, lengths)


def _above_zero(scores: npt.NDArray[Any]) -> Found:
    rows = np.flatnonzero(scores > 0.0)
    return rows, scores[rows].astype(np.float64)


def _dense(query: Row, width: int) -> npt.NDArray[np.float32]:
    laid_out = np.zeros(width, dtype=np.float32)
    laid_out[query.columns] = query.values
    return laid_out


def _affordable(lengths: Ints) -> Ints:
    """Which columns are read, by their lengths."""
    if lengths.sum() <= _MAX_POSTINGS:
        return np.arange(len(lengths))
    order = np.argsort(lengths, kind="stable")
    within = np.count_nonzero(np.cumsum(lengths[order]) <= _MAX_POSTINGS // _RARE_SHARE)
    return np.sort(order[: max(within, 1)])


def _weighted(rows: Sequence[Row], weights: npt.NDArray[np.float32], width: int) -> csr_matrix:
    """Rows as the base has them: each value times its column's weight, then of length one."""
    matrix = stacked(rows, width)
    values = matrix.data * weights[matrix.indices]
    owner = np.repeat(np.arange(len(rows)), np.diff(matrix.indptr))
    norms = np.sqrt(np.bincount(owner, weights=values * values, minlength=len(rows)))
    matrix.data = (values / np.maximum(norms, 1e-12)[owner]).astype(np.float32)
    return matrix


def _best(
    rows: Ints, scores: Floats, k: int, allows: Callable[[int], bool]
) -> Iterator[tuple[int, float]]:
    """Up to k of the rows that are allowed, best first, the lower among equals."""
    fetch, passed, given = k + _SLACK, 0, 0
    while passed < len(rows) and given < k:
        fetch = min(fetch, len(rows))
        best = np.arange(len(rows))
        if fetch < len(rows):
            best = np.sort(np.argpartition(-scores, fetch - 1)[:fetch])
        order = best[np.argsort(-scores[best], kind="stable")][passed:]
        for place, score in zip(rows[order].tolist(), scores[order].tolist(), strict=True):
            if given == k:
                return
            if allows(place):
                given += 1
                yield place, score
        passed, fetch = fetch, fetch * _GROWTH
