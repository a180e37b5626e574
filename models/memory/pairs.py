"""Which events of a user make a pair: those at most so many steps apart; a basket is one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

OLD = -1


class Events(Protocol):
    """Items, times and weights of events [n]."""

    @property
    def items(self) -> Ints: ...
    @property
    def times(self) -> Floats: ...
    @property
    def weights(self) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs [P] of different items of one user; the later event of each is new."""

    earlier: Ints
    later: Ints
    distances: Ints
    """Steps between them; 0 within a basket, where earlier is what the log has first."""
    times: Floats
    """Of the later one, as its weight is."""
    weights: Floats


def pairs_within(
    before: Sequence[tuple[Ints, Floats]],
    mine: Sequence[Ints],
    events: Events,
    reach: int,
    length: int,
) -> Pairs:
    """The pairs that new events make with each other and with what was there before.

    Args:
        before: items and times of each user's earlier events, oldest first.
        mine: of each user, the places of the new ones in `events`, in their order.
        reach: steps that a pair may span.
        length: events that a pair may span.
    """
    sizes = [len(items) + len(new) for (items, _), new in zip(before, mine, strict=True)]
    owner = np.repeat(np.arange(len(mine)), sizes)
    event = np.concatenate(
        [
            np.concatenate((np.full(len(items), OLD), new))
            for (items, _), new in zip(before, mine, strict=True)
        ]
    )
    new = event != OLD
    item, time = events.items[event], events.times[event]
    item[~new] = np.concatenate([items for items, _ in before])
    time[~new] = np.concatenate([times for _, times in before])
    changes = np.ones(len(item), dtype=bool)
    changes[1:] = (time[1:] != time[:-1]) | (owner[1:] != owner[:-1])
    step = np.cumsum(changes)
    a, b = _places(owner, step, np.flatnonzero(new), reach, length)
    apart = item[a] != item[b]
    a, b = a[apart], b[apart]
    return Pairs(item[a], item[b], step[b] - step[a], time[b], events.weights[event[b]])


def _places(owner: Ints, step: Ints, later: Ints, reach: int, length: int) -> tuple[Ints, Ints]:
    """Places of the earlier and the later event of each pair."""
    found: list[tuple[Ints, Ints]] = [(later[:0], later[:0])]
    for lag in range(1, length + 1):
        later = later[later >= lag]
        near = owner[later - lag] == owner[later]
        later = later[near & (step[later] - step[later - lag] <= reach)]
        if not len(later):
            break
        found.append((later - lag, later))
    earlier, last = zip(*found, strict=True)
    return np.concatenate(earlier), np.concatenate(last)
