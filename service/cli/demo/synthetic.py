"""A synthetic stream that drifts: what the demo streams when no file is named.

Items stand in rings, one ring to a taste; a visit walks along the ring of the taste that its user
has at that time, with leaps to popular items in between. Users move on to another taste every now
and then, the rings grow by new items, and few users and few items make most of the events. So
there is an order to be learned that popularity cannot know, and it does not stay as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from service.cli.demo.source import Row

_TASTES: Final = 12
_FIRST_ITEMS: Final = 40
"""Items in a ring at the start."""
_USERS: Final = 3_000
_VISIT: Final = 8
"""Interactions in a visit."""
_GROWTH: Final = 1_500
"""Rows after which every ring has one item more."""
_DRIFT: Final = 12_000
"""Rows after which a user's taste has moved on."""


class SyntheticSource:
    """The stream of a seed: every row is a function of its number, so any place can be read."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    @property
    def name(self) -> str:
        return "a synthetic stream"

    @property
    def note(self) -> str:
        return "made up: tastes that drift, new items, few popular ones"

    @property
    def digest(self) -> str:
        return f"synthetic-{self._seed}"

    @property
    def total(self) -> int | None:
        return None

    def rows(self, start: int) -> Iterator[Row]:
        visit = start // _VISIT
        while True:
            for row in self._visit(visit):
                if row.number >= start:
                    yield row
            visit += 1

    def _visit(self, visit: int) -> Iterator[Row]:
        chance = np.random.default_rng((self._seed, visit))
        first = visit * _VISIT
        user = _skewed(chance, _USERS)
        taste = self._taste_of(user, first, chance)
        length = _FIRST_ITEMS + first // _GROWTH
        place = length - 1 - _skewed(chance, length)  # visits begin near what is new
        for step in range(_VISIT):
            if chance.random() < 0.2:
                place = _skewed(chance, length)
            number = first + step
            yield Row(number, f"user-{user}", f"item-{taste}-{place % length}")
            place += 1 + int(chance.random() < 0.25)

    def _taste_of(self, user: int, number: int, chance: np.random.Generator) -> int:
        """Mostly the taste of the time, which moves on at another moment for each user."""
        if chance.random() < 0.1:
            return int(chance.integers(_TASTES))
        moved = (number + (user * 7_919) % _DRIFT) // _DRIFT
        return (user * 31 + moved * 5) % _TASTES


def _skewed(chance: np.random.Generator, size: int) -> int:
    """A number below `size`, small ones far more often (density falling as 1/x)."""
    return min(int(np.exp(chance.random() * np.log(size + 1))) - 1, size - 1)
