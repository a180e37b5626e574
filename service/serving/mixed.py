"""Candidates in the mixer's order, which are named and explained as far as somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import numpy as np

from models.mixing.features import Features, place_of_rank
from models.sources.question import Floats, Ints
from service.serving.rules import Scored

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Mixed:
    """Candidates in the mixer's order."""

    ranked: Sequence[Scored]
    spoke: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The sources that have an item among their best, those that rank it highest first; none where
    the network brought it in, and ranks more above it that the answer may not hold."""
    drawn: tuple[str, ...] = ()
    """What a draw would put above some of them, best first; see `service.serving.exploring`."""


class Named(Sequence[Scored]):
    """Items [n] and their scores, best first. To name one is a walk through memory, and an answer
    holds twenty of five hundred: each is named when it is looked at.

    Args:
        name: gives the id of an item.
    """

    def __init__(self, items: Ints, scores: Floats, name: Callable[[int], str]) -> None:
        self._items, self._scores, self._name = items.tolist(), scores.tolist(), name

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Scored]:
        return zip(map(self._name, self._items), self._scores, strict=True)

    @overload
    def __getitem__(self, at: int) -> Scored: ...
    @overload
    def __getitem__(self, at: slice) -> list[Scored]: ...
    def __getitem__(self, at: int | slice) -> Scored | list[Scored]:
        if isinstance(at, slice):
            return list(zip(map(self._name, self._items[at]), self._scores[at], strict=True))
        return self._name(self._items[at]), self._scores[at]


class Spoke(Mapping[str, tuple[str, ...]]):
    """By candidate, the sources that rank it, the one that ranks it highest first; few are asked
    for, and only when an answer is explained.

    Args:
        ranked: the candidates.
        features: [C, F] of theirs.
        order: which line of these each has.
        names: of the sources, as the features have them.
    """

    def __init__(
        self, ranked: Sequence[Scored], features: Features, order: Ints, names: Sequence[str]
    ) -> None:
        self._ranked, self._features, self._order, self._names = ranked, features, order, names

    @cached_property
    def _lines(self) -> dict[str, int]:
        lines = self._order.tolist()
        return {item_id: at for (item_id, _), at in zip(self._ranked, lines, strict=True)}

    def __getitem__(self, item_id: str) -> tuple[str, ...]:
        told = self._features[self._lines[item_id]]
        ranks = told[[place_of_rank(self._names, name) for name in self._names]]
        best = np.argsort(-ranks, kind="stable")[:_NAMED]
        return tuple(self._names[one] for one in best.tolist() if ranks[one] > 0.0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._ranked)
