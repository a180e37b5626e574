"""The fast memory: what happened with what, of late; learned by counting, within the second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.memory.config import HOUR_S, MemoryConfig
from models.memory.counts import Counts
from models.memory.graph import Graph
from models.memory.pairs import Pairs, pairs_within
from models.memory.sessions import NONE, Sessions

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SLOW, TRENDING, FAST = 0, 1, 2
"""Columns of the counts."""

SPARED = 0.9
"""Share of `max_items` that a compaction leaves, so that it comes rarely."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Positive events [n] in the order of the log."""

    users: npt.NDArray[np.uint64]
    """Keys of users or sessions."""
    items: Ints
    """Rows of items."""
    times: Floats
    """Seconds."""
    weights: Floats

    def __len__(self) -> int:
        return len(self.items)

    def part(self, start: int, stop: int) -> Observed:
        here = slice(start, stop)
        return Observed(self.users[here], self.items[here], self.times[here], self.weights[here])


@dataclass(frozen=True, slots=True)
class Touched:
    """What events have changed: rows of items and slots of sessions, ascending, each once."""

    items: Ints
    sessions: Ints


class FastMemory:
    """Co-visits, transitions, popularity and sessions: a function of the events it was shown.

    How these were cut into calls changes the rounding, and which neighbours of a full row have
    been dropped, since events of one call are summed before the weakest go; nothing else.
    """

    def __init__(self, config: MemoryConfig) -> None:
        slow, fast = config.half_life_h * HOUR_S, config.fast_half_life_h * HOUR_S
        self.config = config
        self.covisits = Graph(config.width, slow)
        self.rules = Graph(config.width, slow)
        self.counts = Counts((slow, config.trending_half_life_h * HOUR_S, fast))
        self.sessions = Sessions(config.sessions, config.session_length, config.sessions_per_item)
        self.half_life_s = slow
        self.num_items = 0
        self._leaders: dict[tuple[int, int], Ints] = {}

    @property
    def is_full(self) -> bool:
        """Whether there are more items than there may be: time for `compacted`."""
        return self.num_items > self.config.max_items

    def leaders(self, rate: int, size: int = 100) -> tuple[Ints, Floats]:
        """The items that happened most at one of the rates: (items, ascending; counts)."""
        known = self._leaders.get((rate, size))
        if known is None:
            known = self.counts.greatest(rate, size, np.arange(self.num_items))
            self._leaders[rate, size] = known
        latest = self.counts.times[known].max(initial=0.0)
        values = self.counts.at(known, latest)[:, rate]
        return known[values > 0.0], values[values > 0.0]

    def observe(self, events: Observed) -> Touched:
        """Count events, whose users' earlier ones are remembered."""
        at_once = self.config.sessions  # so that none is both begun and given up
        parts = [
            self._observe(events.part(start, start + at_once))
            for start in range(0, len(events), at_once)
        ]
        none = np.empty(0, dtype=np.int64)
        items = np.unique(np.concatenate([none, *(part.items for part in parts)]))
        slots = np.unique(np.concatenate([none, *(part.sessions for part in parts)]))
        self.risen(items)
        return Touched(items, slots)

    def risen(self, items: Ints) -> None:
        """The counts of `items` have changed, which they do upwards alone."""
        for (rate, size), known in self._leaders.items():
            among = np.union1d(known, items)
            self._leaders[rate, size] = self.counts.greatest(rate, size, among)

    def grow(self, num_items: int) -> None:
        """Have rows for at least so many items."""
        self.num_items = max(self.num_items, num_items)
        for part in (self.covisits, self.rules, self.counts, self.sessions):
            part.grow(num_items)

    def compacted(self, most: int) -> tuple[FastMemory, Ints]:
        """A memory of the `most` items that happened most of late, at the slow rate.

        What it keeps is as it was, less what pointed to those that were dropped.

        Returns:
            It, and the items [n] here that are its rows 0 … n−1.
        """
        kept = self.counts.greatest(SLOW, most, np.arange(self.num_items))
        numbers = np.full(self.num_items, NONE, dtype=np.int64)
        numbers[kept] = np.arange(len(kept))
        twin = FastMemory(self.config)
        twin.covisits = self.covisits.taken(kept, numbers)
        twin.rules = self.rules.taken(kept, numbers)
        twin.counts = self.counts.taken(kept)
        twin.grow(len(kept))
        for key, slot in self.sessions.slots.items():
            items, times = self.sessions.events(slot)
            there = numbers[items] != NONE
            number = int(self.sessions.touched[slot])
            twin.sessions.place(slot, key, number, numbers[items][there], times[there])
        return twin, kept

    def _observe(self, events: Observed) -> Touched:
        self.grow(int(events.items.max()) + 1)
        pairs, slots = self._paired(events)
        touched = [self.counts.add(events.items, events.weights, events.times)]
        near = pairs.weights / np.maximum(pairs.distances, 1)
        touched.append(
            self.covisits.add(
                np.concatenate((pairs.earlier, pairs.later)),
                np.concatenate((pairs.later, pairs.earlier)),
                np.concatenate((near, near)),
                np.concatenate((pairs.times, pairs.times)),
            )
        )
        then = pairs.distances > 0
        self.rules.add(  # whose rows are among those of the co-visits
            pairs.earlier[then], pairs.later[then], near[then], pairs.times[then]
        )
        return Touched(np.unique(np.concatenate(touched)), slots)

    def _paired(self, events: Observed) -> tuple[Pairs, Ints]:
        """The pairs that the events make with each other and with what their users did before."""
        sessions, clock = self.sessions, int(self.sessions.touched.max(initial=0))
        order = np.argsort(events.users, kind="stable")
        _, first = np.unique(events.users[order], return_index=True)
        mine = np.split(order, first[1:])
        mine.sort(key=lambda places: int(places[0]))  # slots are given up in the log's order
        slots = [sessions.slot_of(int(events.users[places[0]])) for places in mine]
        before = [sessions.events(slot) for slot in slots]
        pairs = pairs_within(before, mine, events, self.config.reach, self.config.session_length)
        for places, slot in sorted(zip(mine, slots, strict=True), key=lambda one: int(one[0][-1])):
            number = clock + int(places[-1]) + 1
            sessions.put(slot, events.items[places], events.times[places], number)
        return pairs, np.unique(np.asarray(slots, dtype=np.int64))
