"""Blocks: units that an encoder grows while it is in use, on what it makes.

Legend: B batch, S sequence, D embedding, U units of a block.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from models.nets.encoder import Dense
from models.parameters import Layout, chosen_initial_rows

INPUT, BIAS, OUTPUT = "input", "bias", "output"


def part(owner: str, number: int, what: str) -> str:
    """The name of a block's weights among the dense ones."""
    return f"{owner}.{number}.{what}"


@dataclass(frozen=True, slots=True)
class Blocks:
    """h + Σ_k O_kᵀ a_k with a_k = max(0, W_k [x; h; a_1 … a_k−1] + b_k), for each owner's blocks.

    x is the vector of the latest item, times √D (0 where there is none), h what the encoder makes,
    a_j the units of the older blocks of the same owner: the lateral links. O begins at 0, so that a
    new unit changes no query, and W at random, so that it can learn.

    Source: Rusu et al., 2016 (arXiv 1606.04671), equation 1. Deviations: a column is one layer on
    top of the shared encoder and adds to its query, which takes the place of the paper's output by
    task; the lateral links are plain, without adapters.
    """

    units: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    """By owner (a method's name), for each of its blocks the numbers of the block's units."""

    def __post_init__(self) -> None:
        there = {name: self.units[name] for name in sorted(self.units) if self.units[name]}
        object.__setattr__(self, "units", there)

    def __bool__(self) -> bool:
        return bool(self.units)

    def of(self, owner: str) -> tuple[tuple[int, ...], ...]:
        """The units of each of an owner's blocks."""
        return self.units.get(owner, ())

    def having(self, owner: str, units: Sequence[Sequence[int]]) -> Blocks:
        """The same with other units for one owner; blocks without a unit are left out."""
        blocks = tuple(tuple(block) for block in units if block)
        return replace(self, units={**self.units, owner: blocks})

    @staticmethod
    def names(owner: str, number: int) -> tuple[str, str, str]:
        """The names of a block's weights W, b and O among the dense ones."""
        return (part(owner, number, INPUT), part(owner, number, BIAS), part(owner, number, OUTPUT))

    def layout(self, dim: int) -> Layout:
        """Names and shapes of their weights."""
        shapes: list[tuple[str, tuple[int, ...]]] = []
        numbers: dict[str, tuple[int, ...]] = {}
        for owner, blocks in self.units.items():
            width = 2 * dim
            for number, units in enumerate(blocks):
                names = self.names(owner, number)
                own = ((len(units), width), (len(units),), (len(units), dim))
                shapes += zip(names, own, strict=True)
                numbers |= dict.fromkeys(names, units)
                width += len(units)
        return Layout(tuple(shapes), numbers)

    def initial(self, dim: int, seed: int) -> Tensor:
        """Their weights at birth: each unit's a function of the seed, its block and number."""
        layout = self.layout(dim)
        flat = torch.zeros(layout.size)
        for name, weights in layout.views(flat).items():
            if name.endswith(f".{INPUT}"):
                numbers = torch.tensor(layout.numbers[name])
                weights[:] = chosen_initial_rows(
                    seed ^ zlib.crc32(name.encode()), numbers, weights.shape[1], math.sqrt(2.0)
                )
        return flat

    def __call__(self, latest: Tensor, hidden: Tensor, dense: Dense) -> Tensor:
        """Queries […, D].

        Args:
            latest: […, D], x.
            hidden: […, D], h.
            dense: the dense weights by name.
        """
        return self.traced(latest, hidden, dense)[0]

    def traced(
        self, latest: Tensor, hidden: Tensor, dense: Dense
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The same, and of each block what it read […, 2D + …] and W read + b […, U]."""
        queries, trace = hidden, []
        for owner, blocks in self.units.items():
            read = torch.cat([latest, hidden], dim=-1)
            for number in range(len(blocks)):
                weight, bias, output = (dense[name] for name in self.names(owner, number))
                raised = F.linear(read, weight, bias)
                trace.append((read, raised))
                active = raised.relu()
                queries = queries + active @ output
                read = torch.cat([read, active], dim=-1)
        return queries, trace
