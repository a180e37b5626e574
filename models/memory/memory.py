"""The fast memory: what happened with what, of late; learned by counting, within the second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.memory.config import HOUR_S, MemoryConfig
from models.memory.counts import Counts
from models.memory.graph import Graph
from models.memory.sessions import NONE, Sessions

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SLOW, TRENDING, FAST = 0, 1, 2
"""Columns of the counts."""


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


class FastMemory:
    """Co-visits, transitions, popularity and sessions; a function of the events it was shown."""

    def __init__(self, config: MemoryConfig) -> None:
        slow, fast = config.half_life_h * HOUR_S, config.fast_half_life_h * HOUR_S
        self.config = config
        self.covisits = Graph(config.width, slow)
        self.rules = Graph(config.width, slow)
        self.fast_rules = Graph(max(1, config.width // 4), fast)
        self.counts = Counts((slow, config.trending_half_life_h * HOUR_S, fast))
        self.sessions = Sessions(config.sessions, config.session_length, config.sessions_per_item)
        self.half_life_s = slow
        self.num_items = 0
        self._leaders: dict[int, tuple[Ints, Floats]] = {}

    def leaders(self, rate: int, size: int = 100) -> tuple[Ints, Floats]:
        """The items that happened most at one of the rates: (items, ascending; counts)."""
        if rate not in self._leaders:
            self._leaders[rate] = self.counts.greatest(rate, size, self.num_items)
        return self._leaders[rate]

    def observe(self, events: Observed) -> None:
        """Count events, whose users' earlier ones are remembered."""
        if not len(events):
            return
        self._leaders = {}
        self._grow(int(events.items.max()) + 1)
        self.counts.add(events.items, events.weights, events.times)
        earlier, later, distance, time, weight = self._pairs(events)
        near = weight / np.maximum(distance, 1)
        self.covisits.add(
            np.concatenate((earlier, later)),
            np.concatenate((later, earlier)),
            np.concatenate((near, near)),
            np.concatenate((time, time)),
        )
        follows = distance > 0
        pairs = earlier[follows], later[follows], near[follows], time[follows]
        self.rules.add(*pairs)
        self.fast_rules.add(*pairs)

    def _grow(self, size: int) -> None:
        self.num_items = max(self.num_items, size)
        for part in (self.covisits, self.rules, self.fast_rules, self.counts, self.sessions):
            part.grow(size)

    def _pairs(self, events: Observed) -> tuple[Ints, Ints, Ints, Floats, Floats]:
        """Pairs of a user's events at most `reach` steps apart, of which the later one is new."""
        order = np.argsort(events.users, kind="stable")
        users, first = np.unique(events.users[order], return_index=True)
        bounds = np.append(first, len(events))
        items: list[Ints] = []
        times: list[Floats] = []
        new: list[Ints] = []
        for at, user in enumerate(users.tolist()):
            mine = order[bounds[at] : bounds[at + 1]]
            slot = self.sessions.slot_of(user)
            size = int(self.sessions.sizes[slot])
            old = self.sessions.items[slot, self.config.session_length - size :]
            items.append(np.concatenate((old, events.items[mine])))
            before = self.sessions.times[slot, self.config.session_length - size :]
            times.append(np.concatenate((before, events.times[mine])))
            new.append(np.concatenate((np.full(size, NONE), mine)))
            self.sessions.put(slot, events.items[mine], events.times[mine])
        return self._within(items, times, new, events)

    def _within(
        self, items: list[Ints], times: list[Floats], new: list[Ints], events: Observed
    ) -> tuple[Ints, Ints, Ints, Floats, Floats]:
        owner = np.repeat(np.arange(len(items)), [len(part) for part in items])
        item, time, event = (np.concatenate(part) for part in (items, times, new))
        changes = np.ones(len(item), dtype=bool)
        changes[1:] = (time[1:] != time[:-1]) | (owner[1:] != owner[:-1])
        step = np.cumsum(changes)
        found: list[tuple[Ints, Ints]] = []
        later = np.flatnonzero(event != NONE)
        for lag in range(1, self.config.session_length + 1):
            later = later[later >= lag]
            later = later[
                (owner[later - lag] == owner[later])
                & (step[later] - step[later - lag] <= self.config.reach)
            ]
            if not len(later):
                break
            found.append((later - lag, later))
        if not found:
            none = np.empty(0, dtype=np.int64)
            return none, none, none, np.empty(0), np.empty(0)
        a, b = (np.concatenate(part) for part in zip(*found, strict=True))
        apart = item[a] != item[b]
        a, b = a[apart], b[apart]
        return (
            item[a].astype(np.int64),
            item[b].astype(np.int64),
            step[b] - step[a],
            time[b],
            events.weights[event[b]],
        )
