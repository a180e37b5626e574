"""What a source is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.content.texts import Texts
from models.ordered import among, are_first

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32] | Ints
"""As the memory keeps them, or as they are counted with."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody's history, and the moment at which they are to be told what comes next."""

    items: Ints
    """Item rows [H], oldest first, all of them known to the memory."""
    times: Floats
    """Seconds [H], never falling."""
    now_s: float
    user: int | None = None
    """Key of the user or session, so that it is no neighbour of itself."""
    texts: Texts | None = field(default=None, repr=False)
    """What items say of themselves, by the memory's rows; None where nobody has read it."""

    steps: Ints = field(init=False, repr=False)
    """How many steps back each item lies [H]; a basket is one step, 1 is the latest."""
    latest: Ints = field(init=False, repr=False)
    """Where each item stands last, by item."""

    def __post_init__(self) -> None:
        step = np.zeros(len(self.times), dtype=np.int64)
        np.cumsum(self.times[1:] != self.times[:-1], out=step[1:])
        steps = step[-1:] - step + 1  # once for all who ask
        object.__setattr__(self, "steps", steps)
        _, place = np.unique(self.items[::-1], return_index=True)
        object.__setattr__(self, "latest", len(self.items) - 1 - place)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Items [n] and scores [n] above 0, each item once, ascending."""

    items: Ints
    scores: Floats

    def __len__(self) -> int:
        return len(self.items)

    def only(self, items: Ints) -> Proposal:
        """What it says of `items`, ascending, alone."""
        _, there = among(items, self.items)
        return Proposal(self.items[there], self.scores[there])

    def best(self, size: int) -> Ints:
        """The `size` items with the greatest scores, best first; of equal ones the lower rows."""
        places = greatest(self.scores, size)
        return self.items[places[np.argsort(-self.scores[places], kind="stable")]]


def hour_affinity(age_s: Floats, width_h: float = 2.0) -> Floats:
    """How near to this hour of the day something happened: exp(−(Δh/width)²/2), 1 at the hour.

    Args:
        age_s: how long ago it was, seconds.
        width_h: of the bell, hours; Δh is counted around the clock.
    """
    apart = np.abs((age_s / 3_600.0 + 12.0) % 24.0 - 12.0)
    return np.asarray(np.exp(-0.5 * (apart / width_h) ** 2))


_FEW = 64

NOTHING = Proposal(np.empty(0, dtype=np.int64), np.empty(0))


def summed(items: Rows, scores: Floats, size: int) -> Proposal:
    """Scores added up by item, of which there are `size`; those that have decayed to 0 are none.

    Args:
        items: below 0 in free places, whose scores count for nobody.
    """
    if len(items) * _FEW < size:  # to sort few is quicker than to lay out all
        found, place, order = _grouped(items)
        total: Floats = np.bincount(place, weights=scores[order]).astype(np.float64, copy=False)
        there = (total > 0.0) & (found >= 0)
        return Proposal(found[there], total[there])
    places = np.add(items, 1, dtype=np.int64)  # a free place is 0
    total = np.bincount(places, scores, size + 1)[1:].astype(np.float64, copy=False)
    found = np.flatnonzero(total > 0.0)
    return Proposal(found, total[found])


def _grouped(items: Rows) -> tuple[Ints, Ints, Ints]:
    """Each item once, ascending; and in a stable order by item, which of them each is, and whence.

    Item and place are sorted as one number, which is several times as quick as sorting places.
    """
    bits = max(len(items) - 1, 0).bit_length()
    keys = np.sort((items.astype(np.int64) << bits) | np.arange(len(items)))
    order, ordered = keys & ((1 << bits) - 1), keys >> bits
    first = are_first(ordered)
    return ordered[first], np.cumsum(first) - 1, order


def greatest(scores: Floats, size: int) -> Ints:
    """Places of the `size` greatest, ascending; of equal ones the earlier are in."""
    if len(scores) <= size:
        return np.arange(len(scores))
    bar = np.partition(scores, len(scores) - size)[len(scores) - size]
    places: Ints = np.flatnonzero(scores >= bar)
    if spare := len(places) - size:
        level = np.flatnonzero(scores[places] == bar)
        places = np.delete(places, level[-spare:])
    return places
