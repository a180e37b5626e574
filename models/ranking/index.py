"""Retrieval: the k items whose vectors score highest against a query.

Legend: B queries, N items, D embedding, K list length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Index(Protocol):
    """Finds rows by inner product. Immutable once built; safe to search from many threads."""

    def search(
        self,
        queries: Tensor,
        k: int,
        *,
        allowed: Tensor | None = None,
        excluded: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The best k rows for each query, best first.

        Args:
            queries: [B, D].
            k: how many, at least 1.
            allowed: [A] int64 rows, each once: no other row is answered. None allows all.
            excluded: for each query the rows [E] int64 that it may not get; negative ones are
                no rows.

        Returns:
            Scores [B, k] and rows [B, k] int64; −inf and −1 where fewer than k are left. Equal
            scores within the answer are ordered by the lower row.
        """
        ...


class ExactIndex:
    """One matrix product over all rows, or over the allowed ones."""

    def __init__(self, vectors: Tensor) -> None:
        """Take the vectors [N, D]; they are shared, not copied."""
        self._vectors = vectors

    @classmethod
    def build(cls, vectors: Tensor) -> ExactIndex:
        """An index over vectors [N, D], one for each row."""
        return cls(vectors)

    def __len__(self) -> int:
        return int(self._vectors.shape[0])

    def search(
        self,
        queries: Tensor,
        k: int,
        *,
        allowed: Tensor | None = None,
        excluded: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Index.search`.

        Raises:
            ValueError: k below 1, or excluded sets for another number of queries.
        """
        if k < 1:
            raise ValueError(f"k: must be at least 1, got {k}")
        if excluded is not None and len(excluded) != len(queries):
            raise ValueError(f"excluded: {len(excluded)} sets for {len(queries)} queries")
        rows = None if allowed is None else allowed.sort().values
        scores = self._scores(queries, rows)
        if excluded is not None:
            _exclude(scores, rows, len(self), excluded)
        return _best(scores, rows, k)

    def _scores(self, queries: Tensor, rows: Tensor | None) -> Tensor:
        """Scores [B, A] of `rows` [A], [B, N] of all where it is None."""
        vectors = self._vectors if rows is None else self._vectors.index_select(0, rows)
        return queries @ vectors.T


def _exclude(scores: Tensor, rows: Tensor | None, size: int, excluded: Sequence[Tensor]) -> None:
    """Put −inf, in place, where a query may not look; `rows` names the columns, None is all."""
    for line, unwanted in zip(scores, excluded, strict=True):
        columns = unwanted[(unwanted >= 0) & (unwanted < size)]
        if rows is not None and len(rows):
            places = torch.searchsorted(rows, columns).clamp_(max=len(rows) - 1)
            columns = places[rows[places] == columns]
        elif rows is not None:
            columns = columns[:0]
        line[columns] = -torch.inf


def _best(scores: Tensor, rows: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    found = min(k, scores.shape[1])
    best, columns = torch.topk(scores, found, dim=1)
    columns = columns.gather(1, columns.argsort(dim=1))  # the lower row first …
    best = scores.gather(1, columns)
    order = best.argsort(dim=1, descending=True, stable=True)  # … among equal scores
    best, columns = best.gather(1, order), columns.gather(1, order)
    answer = columns if rows is None else rows[columns]
    answer = torch.where(torch.isneginf(best), -1, answer)
    missing = k - found
    if missing:
        best = torch.nn.functional.pad(best, (0, missing), value=-torch.inf)
        answer = torch.nn.functional.pad(answer, (0, missing), value=-1)
    return best, answer
