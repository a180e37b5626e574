"""External id ↔ dense row, append-only: a row, once given, is never given to another id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt


class Vocabulary:
    """An append-only bijection between external ids and rows 0 … len−1."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids: list[str] = list(ids)
        self._rows: dict[str, int] = {external: row for row, external in enumerate(self._ids)}
        if len(self._rows) != len(self._ids):
            raise ValueError("a vocabulary holds each id once")

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, external: object) -> bool:
        return external in self._rows

    @property
    def ids(self) -> Sequence[str]:
        """All ids in the order of their rows; not to be changed by the caller."""
        return self._ids

    def row(self, external: str) -> int:
        """The row of `external`, −1 when it has none."""
        return self._rows.get(external, -1)

    def rows(self, externals: Iterable[str]) -> npt.NDArray[np.int64]:
        """Rows [n] int64 of `externals`, −1 for those that have none."""
        get = self._rows.get
        return np.fromiter(map(get, externals, repeat(-1)), dtype=np.int64)

    def id(self, row: int) -> str:
        return self._ids[row]

    def grow(self, externals: Iterable[str]) -> npt.NDArray[np.int64]:
        """Rows [n] int64 of `externals`, giving a new row to each id not met before, in order."""
        rows = []
        for external in externals:
            row = self._rows.get(external)
            if row is None:
                row = len(self._ids)
                self._rows[external] = row
                self._ids.append(external)
            rows.append(row)
        return np.asarray(rows, dtype=np.int64)

    def copy(self) -> Vocabulary:
        """A copy that grows without changing this one."""
        twin = Vocabulary()
        twin._ids = self._ids.copy()
        twin._rows = self._rows.copy()
        return twin
