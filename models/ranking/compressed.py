"""Exact retrieval over rows that are kept compressed: decoded block by block, never all at once."""

from __future__ import annotations

from torch import Tensor

from models.compression import Rows
from models.ranking.index import ExactIndex

_BLOCK = 8_192
"""Rows decoded at once: two megabytes at 64 dimensions, which stay in the cache."""


class CompressedIndex(ExactIndex):
    """As `ExactIndex`, over compressed rows; scores are those of the decoded vectors."""

    def __init__(self, rows: Rows) -> None:
        """Take the rows; they are shared, not copied."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def _scores(self, queries: Tensor, rows: Tensor | None) -> Tensor:
        count = len(self) if rows is None else len(rows)
        scores = queries.new_empty(len(queries), count)
        for first in range(0, count, _BLOCK):
            block = slice(first, min(first + _BLOCK, count))
            vectors = self._rows[block if rows is None else rows[block]]
            scores[:, block] = queries @ vectors.T
        return scores
