"""Named parameters in memory: what a version is made of, how it grows, which rows a step touches.

A snapshot maps a name to a tensor: `items` [N, D], `users` [U, D] (where there are users' rows) and
`dense` [P], every other weight of the encoder laid end to end. Snapshots are values: nobody changes
a tensor that he did not make.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

Snapshot = Mapping[str, Tensor]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A version ready to be written or sent: tensors by part and name, ids by kind, plain values.

    `tensors["serving"]` holds all that answering needs, `tensors["learning"]` the rest; `ids` has
    `items` and `users` in the order of their rows; `meta` is JSON.
    """

    tensors: dict[str, dict[str, Tensor]]
    ids: dict[str, list[str]]
    meta: dict[str, Any] = field(default_factory=dict)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under longer names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def stripped(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The inverse of `prefixed`, among others: those whose names begin so, by the rest of it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def mix64(values: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Scramble 64-bit numbers, one to one.

    Source: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    with np.errstate(over="ignore"):
        z = values + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def initial_rows(seed: int, first: int, last: int, dim: int, norm: float = 1.0) -> Tensor:
    """Rows first … last−1 of a table as they are before anything is learned, [last−first, dim].

    Uniform around 0, a row's norm about `norm`. Each number is a function of
    (seed, row, column) alone: growing row by row or at once gives the same table.
    """
    return chosen_initial_rows(seed, torch.arange(first, last), dim, norm)


def chosen_initial_rows(seed: int, rows: Tensor, dim: int, norm: float = 1.0) -> Tensor:
    """The same for rows [R] int64 in any order, [R, dim] on the CPU."""
    cells = rows.cpu().numpy().astype(np.uint64)[:, None] * np.uint64(dim)
    cells = cells + np.arange(dim, dtype=np.uint64)[None, :]
    seeded = mix64(np.asarray([seed & 0xFFFF_FFFF_FFFF_FFFF], dtype=np.uint64))
    unit = (mix64(cells ^ seeded) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    values = ((2.0 * unit - 1.0) * (norm * math.sqrt(3.0 / dim))).astype(np.float32)
    return torch.from_numpy(values)


def grown(tensor: Tensor, rows: int, fill: float = 0.0) -> Tensor:
    """A copy of `tensor` [n, …] with `rows` ≥ n rows, the new ones filled: growth alignment.

    Raises:
        ValueError: fewer rows than there are; rows are never taken away.
    """
    if rows < tensor.shape[0]:
        raise ValueError(f"a table has {tensor.shape[0]} rows and cannot shrink to {rows}")
    result = tensor.new_full((rows, *tensor.shape[1:]), fill)
    result[: tensor.shape[0]] = tensor
    return result


@dataclass(frozen=True, slots=True)
class Touched:
    """The rows that one step reads or writes, each once, and where each use finds its row."""

    rows: Tensor
    """[R] int64, ascending."""
    places: tuple[Tensor, ...]
    """For each index tensor given: the place in `rows` of each entry, −1 where it was negative."""


def touched_rows(*uses: Tensor) -> Touched:
    """The union of rows over index tensors of any shape, int64; negative entries are no rows."""
    flat = torch.cat([use.reshape(-1) for use in uses])
    rows, places = torch.unique(flat, sorted=True, return_inverse=True)
    nothing = int((rows < 0).sum())
    parts = torch.split((places - nothing).clamp_(min=-1), [use.numel() for use in uses])
    return Touched(
        rows=rows[nothing:],
        places=tuple(part.view(use.shape) for part, use in zip(parts, uses, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """Names and shapes of weights that lie end to end in one flat tensor [P].

    Attributes:
        shapes: each part's name and shape, in the order in which they lie.
        numbers: for parts whose first dimension comes and goes by the unit, each unit's number,
            which it keeps for life.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    numbers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """P."""
        return sum(math.prod(shape) for _, shape in self.shapes)

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The named parts of `flat` [P], sharing its memory."""
        sizes = [math.prod(shape) for _, shape in self.shapes]
        parts = torch.split(flat, sizes)
        return {
            name: part.view(shape) for (name, shape), part in zip(self.shapes, parts, strict=True)
        }

    def flat(self, parts: Sequence[Tensor]) -> Tensor:
        """The parts, in the layout's order, laid end to end: [P]."""
        return torch.cat([part.reshape(-1) for part in parts])

    def among(self, names: Collection[str], device: str | torch.device = "cpu") -> Tensor:
        """Which weights belong to parts of these names, [P] bool."""
        chosen = torch.zeros(self.size, dtype=torch.bool, device=device)
        for name, part in self.views(chosen).items():
            part.fill_(name in names)
        return chosen

    def carried(self, flat: Tensor, into: Layout, fill: float | Tensor = 0.0) -> Tensor:
        """A copy of `flat` [P] laid out as `into` [P']: what both have, by name and unit.

        The one way in which weights, and whatever has their shape, follow a layout that grows or
        shrinks; where a part lies does not matter. What `into` does not have is left behind.

        Args:
            flat: laid out as this.
            into: the other layout.
            fill: for what only `into` has: one value, or [P'].

        Raises:
            ValueError: a unit of a part has another shape there.
        """
        new = torch.empty(into.size, dtype=flat.dtype, device=flat.device)
        new.copy_(torch.as_tensor(fill))
        old, parts = self.views(flat), into.views(new)
        for name in old.keys() & parts.keys():
            if old[name].shape[1:] != parts[name].shape[1:]:
                shapes = f"{list(old[name].shape)} and {list(parts[name].shape)}"
                raise ValueError(f"{name}: units of different shapes, {shapes}")
            theirs = {number: at for at, number in enumerate(into._units(name, parts))}
            both = [(i, theirs[n]) for i, n in enumerate(self._units(name, old)) if n in theirs]
            here, there = torch.tensor(both, dtype=torch.int64, device=flat.device).view(-1, 2).T
            parts[name][there] = old[name][here]
        return new

    def _units(self, name: str, parts: Mapping[str, Tensor]) -> Sequence[int]:
        return self.numbers.get(name, range(len(parts[name])))
