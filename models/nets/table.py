"""A table of rows that grows: plain tensors outside of autograd, gathered and scattered by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from models.parameters import chosen_initial_rows, initial_rows

_NORM = 0.2
"""Rows begin short: where only the direction counts, a short row turns fast while it is new and
slower as learning lengthens it. Rows of norm 1 cost a tenth of the recall on sessions."""


class GrowableTable:
    """Rows [N, D] float32 that are added to and never taken away.

    A row's first value depends on (seed, row) alone, so growth does not depend on how it was cut
    into steps and never changes a row that exists. A table is a value: `grown` makes another one,
    and only who made a copy writes into it.
    """

    def __init__(self, dim: int, seed: int, rows: Tensor | None = None) -> None:
        self.dim = dim
        self.seed = seed
        self.rows = torch.empty(0, dim) if rows is None else rows
        if self.rows.ndim != 2 or self.rows.shape[1] != dim:
            raise ValueError(f"rows: expected [N, {dim}], got {list(self.rows.shape)}")

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def grown(self, size: int, device: str | torch.device = "cpu") -> GrowableTable:
        """A copy of this table with `size` rows on `device`.

        Raises:
            ValueError: `size` is smaller than the table.
        """
        if size < len(self):
            raise ValueError(f"a table has {len(self)} rows and cannot shrink to {size}")
        rows = torch.empty(size, self.dim, device=device)
        rows[: len(self)] = self.rows
        rows[len(self) :] = initial_rows(self.seed, len(self), size, self.dim, _NORM)
        return GrowableTable(self.dim, self.seed, rows)

    def restart(self, rows: Tensor) -> None:
        """Give rows [R] int64 their first values again, in place."""
        values = chosen_initial_rows(self.seed, rows, self.dim, _NORM)
        self.rows[rows] = values.to(self.rows.device)
