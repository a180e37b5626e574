"""What items say of themselves, found by the rows in which somebody else counts them.

An item that has no such row stands behind the last one, by its place in the index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.content.neighbours import ContentIndex, Ints
from models.vocabulary import Vocabulary

NONE = -1


@dataclass(frozen=True, slots=True)
class Texts:
    """An index and the rows of its items; a value, made by `of` and then by `following`.

    Attributes:
        index: features of the items.
        few: an item with fewer events than this has its text speak for it.
    """

    index: ContentIndex
    few: float
    _items: Vocabulary
    """Whose rows these are; it may have grown since."""
    _size: int
    """Rows that it had then."""
    _rows: Ints = field(repr=False)
    """[N] by place in the index; of one without a row, the size and the place."""
    _places: Ints = field(repr=False)
    """[size] by row; NONE for one without text."""

    @classmethod
    def of(cls, index: ContentIndex, items: Vocabulary, few: float) -> Texts:
        """Looked up item by item."""
        return cls._by_row(index, few, items, items.rows(index.items.ids))

    def following(self, index: ContentIndex, items: Vocabulary) -> Texts:
        """The same of what index and rows have become; what was known of them is not looked up."""
        if items is not self._items or not _begins(index.items.ids, self.index.items.ids):
            return Texts.of(index, items, self.few)
        if index is self.index and len(items) == self._size:
            return self
        size, known = len(items), len(self._rows)
        told = np.where(self._rows < self._size, self._rows, NONE)
        rows = np.concatenate((told, items.rows(index.items.ids[known:])))
        fresh = index.items.rows(items.ids[self._size : size])
        there = fresh != NONE
        rows[fresh[there]] = self._size + np.flatnonzero(there)
        return self._by_row(index, self.few, items, rows)

    @classmethod
    def _by_row(cls, index: ContentIndex, few: float, items: Vocabulary, rows: Ints) -> Texts:
        """Of rows [N] by place, NONE for those without."""
        size, there = len(items), np.flatnonzero(rows != NONE)
        places: Ints = np.full(size, NONE, dtype=np.int64)
        places[rows[there]] = there
        stands = np.where(rows == NONE, size + np.arange(len(rows)), rows)
        return cls(index, few, items, size, stands, places)

    def rows(self, places: Ints) -> Ints:
        """Rows [n] of places of the index; at or above the number of rows for those without one."""
        return self._rows[places]

    def places(self, rows: Ints) -> Ints:
        """Places [n] in the index of rows below their number; NONE for those without text."""
        return self._places[rows]

    def rows_of(self, item_ids: Iterable[str]) -> Ints:
        """Where items [n] stand; NONE for those that have neither row nor text."""
        ids = list(item_ids)
        rows = self._items.rows(ids)
        strange = np.flatnonzero(rows == NONE)
        places = self.index.items.rows(ids[at] for at in strange.tolist())
        rows[strange] = np.where(places == NONE, NONE, self._size + places)
        return rows

    def id(self, row: int) -> str:
        """The item of a row, of its own or behind the last."""
        return self._items.id(row) if row < self._size else self.index.items.id(row - self._size)

    @property
    def end(self) -> int:
        """Above every row that it gives."""
        return self._size + len(self._rows)


def _begins(ids: Sequence[str], first: Sequence[str]) -> bool:
    return ids is first or ids[: len(first)] == first


class Shelf:
    """Texts, level with an index that is replaced and rows that grow; for one thread.

    Args:
        index: gives the features as they are now.
        few: see `Texts`.
    """

    def __init__(self, index: Callable[[], ContentIndex], few: float) -> None:
        self._index, self._few = index, few
        self._texts: Texts | None = None

    def texts(self, items: Vocabulary) -> Texts | None:
        """As they are now, by the rows of `items`; None where nothing was read."""
        index = self._index()
        if not len(index):
            return None
        if self._texts is None:
            self._texts = Texts.of(index, items, self._few)
        self._texts = self._texts.following(index, items)
        return self._texts
