"""Domains: items that are alike, found once and kept.

Legend: N items, C centres, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.nets.adapters import NO_DOMAIN
from models.parameters import grown

_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Domains:
    """Centres of items, and for each item the one that it belongs to, for good.

    The first are found by k-means over directions. An item that comes later goes to the nearest
    centre that there is; if it is farther from all of them than any first item was from its own,
    it becomes the centre of a new domain, as long as there may be more.

    Source: spherical k-means, Dhillon and Modha, 2001; new centres by distance as in DP-means,
    Kulis and Jordan, 2012 (arXiv 1111.0352). Deviations: one pass over the new items, in the order
    of their rows; nothing moves once it is placed, neither centre nor item.

    Attributes:
        centres: [C, D] of length 1.
        least: [1], the cosine of the first item that is farthest from its centre with that.
        of: [N] int64, the domain of each item; `NO_DOMAIN` for one that is not placed yet.
    """

    centres: Tensor
    least: Tensor
    of: Tensor

    @classmethod
    def found(cls, vectors: Tensor, count: int, seed: int, ready: Tensor | None = None) -> Self:
        """At most `count` domains of the first items.

        Args:
            vectors: [N, D] on the CPU.
            count: how many, at least 1.
            seed: of the items that are centres before the first round.
            ready: [N] bool, at least one of which is; the others are not placed. None: all are.
        """
        items = F.normalize(vectors if ready is None else vectors[ready], dim=1)
        chosen = np.random.default_rng(seed).permutation(len(items))[:count]
        centres = items[torch.from_numpy(np.sort(chosen))]
        for _ in range(_ROUNDS):
            nearest = (items @ centres.T).argmax(1)
            sums = torch.zeros_like(centres).index_add_(0, nearest, items)
            empty = torch.bincount(nearest, minlength=len(centres)) == 0
            centres = torch.where(empty[:, None], centres, F.normalize(sums, dim=1))
        closest = (items @ centres.T).max(1)
        of = torch.full((len(vectors),), NO_DOMAIN)
        of[slice(None) if ready is None else ready] = closest.indices
        return cls(centres, closest.values.min()[None], of)

    def grown(self, vectors: Tensor, most: int, ready: Tensor | None = None) -> Self:
        """With all items that are ready placed; those that were stay where they are.

        Args:
            vectors: [N', D] of all items.
            most: domains that there may be.
            ready: [N'] bool; None: all are.
        """
        centres, of = self.centres, grown(self.of, len(vectors), NO_DOMAIN)
        wanted = of == NO_DOMAIN if ready is None else (of == NO_DOMAIN) & ready
        rows = wanted.nonzero()[:, 0]
        for row, vector in zip(rows.tolist(), F.normalize(vectors[rows], dim=1), strict=True):
            cosines = centres @ vector
            if len(centres) < most and float(cosines.max()) < float(self.least):
                of[row] = len(centres)
                centres = torch.cat([centres, vector[None]])
            else:
                of[row] = int(cosines.argmax())
        return type(self)(centres, self.least, of)
