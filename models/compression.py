"""Item rows in fewer bytes: half precision, 8 bits, few columns, fewer rows.

Pure functions from vectors to what is kept of them, and back. N items, D embedding, r rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ROWS = ("float32", "float16", "int8")


@dataclass(frozen=True, slots=True)
class Rows:
    """Vectors [N, D] as they are kept; `rows[...]` gives them back as float32.

    Attributes:
        values: [N, D] float32, float16 or int8.
        scale: [N, 1] float32, what int8 values are multiplied by; None for the others.
    """

    values: Tensor
    scale: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any, /) -> Tensor:
        """The vectors at `rows`: a slice, a list, or an int64 tensor."""
        vectors = self.values[rows].float()
        return vectors if self.scale is None else vectors * self.scale[rows]

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The vectors at `index` [n] int64, as a tensor's own would give them; `dim` is 0.

        Twice as quick as `rows[index]` where they are few of many.
        """
        vectors = self.values.index_select(dim, index).float()
        return vectors if self.scale is None else vectors * self.scale.index_select(dim, index)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return int(self.values.nbytes) + (0 if self.scale is None else int(self.scale.nbytes))


def compress(vectors: Tensor, kind: str) -> Rows:
    """Vectors [N, D] float32 as one of ROWS.

    int8 has a scale for each row, max |x| / 127, so a component is off by half a scale at most, and
    a score by ½ · scale · Σ|q|. float16 is off by 2⁻¹¹ of each component, below 2⁻¹⁴ by 2⁻²⁵.

    Raises:
        ValueError: no such kind, or a component beyond ±65,504 in half precision.
    """
    if kind == "float32":
        return Rows(vectors)
    if kind == "float16":
        half = vectors.half()
        if not bool(torch.isfinite(half).all()):
            raise ValueError("rows: a component is too large for float16")
        return Rows(half)
    if kind != "int8":
        raise ValueError(f"rows: {kind!r} is not known; allowed are {', '.join(ROWS)}")
    largest = vectors.abs().amax(dim=1, keepdim=True) if vectors.numel() else vectors[:, :1]
    scale = (largest / 127.0).clamp(min=torch.finfo(torch.float32).tiny)
    return Rows((vectors / scale).round().clamp(-127, 127).to(torch.int8), scale)


@dataclass(frozen=True, slots=True)
class LowRank:
    """Vectors [N, D] as the product of `left` [N, r] and `right` [r, D]."""

    left: Tensor
    right: Tensor

    def __len__(self) -> int:
        return len(self.left)

    def __getitem__(self, rows: Any, /) -> Tensor:
        return self.left[rows] @ self.right

    @property
    def nbytes(self) -> int:
        """Bytes of both factors."""
        return int(self.left.nbytes) + int(self.right.nbytes)


def low_rank(vectors: Tensor, rank: int) -> LowRank:
    """The nearest product of that rank, in the sum of squares.

    Its squared error is the sum of the squares of the singular values left out.

    Source: Eckart and Young, 1936.

    Raises:
        ValueError: a rank outside of [1, min(N, D)].
    """
    if not 1 <= rank <= min(vectors.shape):
        raise ValueError(f"rank: must lie in [1, {min(vectors.shape)}], got {rank}")
    u, s, v = torch.linalg.svd(vectors, full_matrices=False)
    return LowRank(u[:, :rank] * s[:rank], v[:rank])


def kept_rows(
    events: Tensor,
    idle: Tensor,
    listed: Tensor,
    *,
    min_events: float = 0.0,
    max_idle: int | None = None,
) -> Tensor:
    """The rows that pruning leaves; an item without one falls back on the lists.

    Args:
        events: [N], how many events an item has had.
        idle: [N] int64, how many updates ago its row was last touched.
        listed: [N] bool, which items are in the catalogue: these are never pruned.
        min_events: rows with fewer go.
        max_idle: rows not touched for more updates go; None: none for that reason.

    Returns:
        Rows [K] int64, ascending.
    """
    kept = events >= min_events
    if max_idle is not None:
        kept &= idle <= max_idle
    return (kept | listed).nonzero()[:, 0]
