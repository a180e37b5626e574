"""Items that the served version has no row for, by the vectors that their text foretells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from models.vocabulary import Vocabulary
    from service.serving.model import Vectors

Ranked = list[tuple[str, float]]
"""Item ids and scores, best first, distinct."""

_SLACK = 32


@dataclass(frozen=True)
class Newcomers:
    """Immutable; the latest written stand last.

    Attributes:
        ids: M items, none of them in the version's vocabulary.
        vectors: [M, D], on the scale of the version's own.
    """

    ids: tuple[str, ...] = ()
    vectors: Tensor = field(default_factory=lambda: torch.zeros(0, 1))

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._places

    @cached_property
    def _places(self) -> dict[str, int]:
        return {item_id: place for place, item_id in enumerate(self.ids)}

    def with_items(
        self, gone: frozenset[str], ids: Sequence[str], vectors: Tensor, most: int
    ) -> Newcomers:
        """Without the items of `gone`, and with these behind them; the latest `most` of all."""
        stay = [place for place, item_id in enumerate(self.ids) if item_id not in gone]
        kept = (*(self.ids[place] for place in stay), *ids)
        rows = torch.cat([self.vectors[stay], vectors]) if len(stay) else vectors
        first = max(0, len(kept) - most)
        return Newcomers(kept[first:], rows[first:])

    def joined(
        self, query: Tensor, ranked: Ranked, limit: int, allows: Callable[[str], bool]
    ) -> Ranked:
        """`ranked`, and the newcomers that belong among the best `limit`, in one order.

        Args:
            query: [D], what `ranked` was ranked by.
            ranked: the best learned items, best first.
            allows: whether an answer may hold an item.
        """
        if not self.ids:
            return ranked
        scores = self.vectors @ query
        bar = ranked[limit - 1][1] if len(ranked) >= limit else -torch.inf
        best = self._best(scores, bar, limit, allows)
        if not best:
            return ranked
        return sorted([*ranked, *best], key=lambda scored: -scored[1])[:limit]

    def _best(
        self, scores: Tensor, bar: float, limit: int, allows: Callable[[str], bool]
    ) -> Ranked:
        """The best `limit` above the bar; more are looked at only where some may not be shown."""
        found: Ranked = []
        for fetch in (min(limit + _SLACK, len(scores)), len(scores)):
            values, places = (part.tolist() for part in scores.topk(fetch))
            found = []
            for value, place in zip(values, places, strict=True):
                if value <= bar or len(found) == limit:
                    return found
                if allows(self.ids[place]):
                    found.append((self.ids[place], value))
        return found

    def rows(self, learned: Vocabulary, vectors: Vectors, item_ids: Sequence[str]) -> Tensor:
        """Vectors [n, D] of items that are learned or newcomers."""
        places = learned.rows(item_ids)
        found = vectors[np.maximum(places, 0)]
        new = np.flatnonzero(places < 0)
        if len(new):
            found[new] = self.vectors[[self._places[item_ids[at]] for at in new.tolist()]]
        return found


NOBODY = Newcomers()
