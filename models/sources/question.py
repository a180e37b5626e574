"""What a source is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
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

    @property
    def steps(self) -> Ints:
        """How many steps back each item lies [H]; a basket is one step, 1 is the latest."""
        if not len(self.times):
            return np.empty(0, dtype=np.int64)
        changes = np.concatenate(([False], self.times[1:] != self.times[:-1]))
        step = np.cumsum(changes)
        return np.asarray(step[-1] - step + 1)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Items [n] and scores [n] above 0, each item once, ascending."""

    items: Ints
    scores: Floats

    def __len__(self) -> int:
        return len(self.items)


_FEW = 32

NOTHING = Proposal(np.empty(0, dtype=np.int64), np.empty(0))


def summed(items: Ints, scores: Floats, size: int) -> Proposal:
    """Scores added up by item, of which there are `size`; those that have decayed to 0 are none."""
    if len(items) * _FEW < size:  # sorting few is quicker than laying out all
        found, place = np.unique(items, return_inverse=True)
        total: Floats = np.bincount(place, weights=scores).astype(np.float64)
        there = total > 0.0
        return Proposal(found[there].astype(np.int64), total[there])
    total = np.bincount(items, weights=scores, minlength=size).astype(np.float64)
    found = np.flatnonzero(total > 0.0)
    return Proposal(found, total[found])


def greatest(scores: Floats, size: int) -> Ints:
    """Places of the `size` greatest, ascending; of equal ones the earlier are in."""
    if len(scores) <= size:
        return np.arange(len(scores))
    bar = np.partition(scores, len(scores) - size)[len(scores) - size]
    above, equal = np.flatnonzero(scores > bar), np.flatnonzero(scores == bar)
    return np.sort(np.concatenate((above, equal[: size - len(above)])))
