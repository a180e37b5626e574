"""A recorded stream: positive events in time order, cut into a base and periods.

Rows of users and items are given in the order of first appearance, so that "the items seen before
period t" are simply the first `num_items` rows, and an arm cannot tell that later ones exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.continual.memory import is_probe
from models.evaluation.periods import equal_bounds, own_bounds, stretch_bounds
from models.evaluation.sightings import Sightings
from models.interactions import Event
from models.vocabulary import Vocabulary

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_LAG = 50
"""Pairs of a user's events further apart than so many lines are not looked for."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A stream as it is read, one entry per event in any order."""

    user_ids: list[str]
    item_ids: list[str]
    time_ms: list[int]
    types: list[str]
    weights: list[float]
    """Positive where the event is a positive signal; others are left out."""
    periods: list[int | None]
    """The stream's own periods, 0 for the base; None throughout where it has none."""

    def append(
        self,
        user_id: str,
        item_id: str,
        *,
        time_ms: int,
        type: str = "click",
        weight: float = 1.0,
        period: int | None = None,
    ) -> None:
        """Add one event."""
        self.user_ids.append(user_id)
        self.item_ids.append(item_id)
        self.time_ms.append(time_ms)
        self.types.append(type)
        self.weights.append(weight)
        self.periods.append(period)


class Stream:
    """Positive events, strictly by time.

    Args:
        columns: the events.
        num_periods: how many periods of equal count follow the base; of a stream with periods of
            its own, how many of them are used.
        baskets: `set`: events of one user at one time are a set, and the history of each is what
            came before all of them. `lines`: each sees the lines above it.
        micro_windows: stretches of equal count that each period, not the base, is cut into;
            `periods.EVERY`: one for every instant.
        probe_share: share of the users that nothing is ever learned from; see `probe_users`.

    Raises:
        ValueError: too few events for so many periods or stretches, or own periods that overlap in
            time.
    """

    def __init__(
        self,
        columns: Columns,
        *,
        num_periods: int | None = None,
        baskets: str = "set",
        probe_share: float = 0.0,
        micro_windows: int = 1,
    ) -> None:
        if baskets not in ("set", "lines"):
            raise ValueError(f"baskets: must be set or lines, got {baskets!r}")
        weight = np.asarray(columns.weights, dtype=np.float32)
        self.num_read = len(weight)
        order = np.argsort(np.asarray(columns.time_ms, dtype=np.int64), kind="stable")
        order = order[weight[order] > 0]
        self.time_ms: Ints = np.asarray(columns.time_ms, dtype=np.int64)[order]
        self.weight = weight[order]
        self.types: list[str] = [columns.types[row] for row in order]
        self.type_names = list(dict.fromkeys(self.types))
        numbers = {name: number for number, name in enumerate(self.type_names)}
        self.kind: Ints = np.asarray([numbers[name] for name in self.types], dtype=np.int64)
        self.users, self.items = Vocabulary(), Vocabulary()
        self.user = self.users.grow(columns.user_ids[row] for row in order)
        self.item = self.items.grow(columns.item_ids[row] for row in order)
        own = [period for period in columns.periods if period is not None]
        if not own:
            bounds = equal_bounds(self.time_ms, num_periods or 8)
        elif len(own) == len(columns.periods):
            bounds = own_bounds(np.asarray(own, dtype=np.int64)[order], num_periods)
        else:
            raise ValueError("either every event has a period or none has")
        self.cuts: Ints = stretch_bounds(self.time_ms, bounds, micro_windows)
        """Where the base and every stretch behind it begin, and the end [T·micro_windows+2]."""
        self.micro_windows = (len(self.cuts) - 2) // (len(bounds) - 2)
        self.items_so_far: Ints = np.maximum.accumulate(self.item) + 1
        """How many items [n] were seen up to and with each event."""
        self.baskets = baskets
        self.arrange()
        self.probe_share = probe_share
        self.probe: Mask = probe_users(self.users.ids, probe_share)
        """Which users [U] are probes: asked, and never learned from."""

    def arrange(self) -> None:
        """Lay the events out user by user: `sequence` lists events, a user's oldest first."""
        total = len(self.user)
        self.sequence: Ints = np.argsort(self.user, kind="stable")
        users, times = self.user[self.sequence], self.time_ms[self.sequence]
        first = np.ones(total, dtype=bool)
        first[1:] = users[1:] != users[:-1]
        step = first.copy()
        step[1:] |= (times[1:] != times[:-1]) if self.baskets == "set" else True
        places = np.arange(total)
        self.user_start: Ints = np.maximum.accumulate(np.where(first, places, 0))
        self.step_start: Ints = np.maximum.accumulate(np.where(step, places, 0))
        self.step: Ints = np.cumsum(step)
        self.place: Ints = np.empty(total, dtype=np.int64)
        self.place[self.sequence] = places
        self.sequence_items: Ints = self.item[self.sequence]
        for derived in ("lowest", "sightings"):
            self.__dict__.pop(derived, None)
        self.sequence_times: Ints = times

    @property
    def bounds(self) -> Ints:
        """Where the base and the periods begin, and the end [T+2]."""
        return np.concatenate((self.cuts[:1], self.cuts[1 :: self.micro_windows]))

    @property
    def num_periods(self) -> int:
        return len(self.bounds) - 2

    def slice(self, period: int) -> Slice:
        """The events of `period`; 0 is the base."""
        return Slice(self, int(self.bounds[period]), int(self.bounds[period + 1]))

    def stretches(self, period: int, number: int | None = None) -> list[Slice]:
        """The micro-windows of `period` ≥ 1, joined to `number` where fewer are asked for; those
        that hold nothing are left out.

        Args:
            number: divides the micro-windows.
        """
        first = 1 + (period - 1) * self.micro_windows
        step = self.micro_windows // (number or self.micro_windows)
        cuts = self.cuts[first : first + self.micro_windows + 1 : step].tolist()
        return [Slice(self, start, stop) for start, stop in pairwise(cuts) if start < stop]

    def period_of(self, rows: Ints) -> Ints:
        """The period [n] of the events `rows` [n]; −1 for what lies before the first."""
        return np.searchsorted(self.bounds, rows, side="right") - 1

    def known(self, row: int) -> tuple[int, int]:
        """How many users and items were seen before event `row`: theirs are the first rows."""
        items = int(self.items_so_far[row - 1]) if row else 0
        return int(self.user[:row].max(initial=-1)) + 1, items

    @cached_property
    def lowest(self) -> Ints:
        """The lowest item row of a user up to each place of the sequence."""
        band = (len(self.users) - self.user[self.sequence]) * len(self.items)
        lowest: Ints = np.minimum.accumulate(self.sequence_items + band) - band
        return lowest

    @cached_property
    def sightings(self) -> Sightings:
        """When each item was met."""
        return Sightings(self.item, ~self.probe[self.user])


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive events of a stream, `start` ≤ row < `stop`, as an arm may learn from them.

    Everything an arm reads here comes by way of `rows`, which leaves the probe users out. The
    numbering is the stream's all the same, so that answers can be compared: `num_items` counts
    items that probe users alone have taken, too.
    """

    stream: Stream
    start: int
    stop: int

    def __len__(self) -> int:
        """Events in this stretch of the stream, those of probe users among them."""
        return self.stop - self.start

    @property
    def rows(self) -> Ints:
        """The stream's events [n] here that may be learned from: those of no probe user."""
        learnable = ~self.stream.probe[self.stream.user[self.start : self.stop]]
        return self.start + np.flatnonzero(learnable)

    @property
    def user(self) -> Ints:
        """User rows [n] int64."""
        return self.stream.user[self.rows]

    @property
    def item(self) -> Ints:
        """Item rows [n] int64."""
        return self.stream.item[self.rows]

    def type_counts(self) -> dict[str, int]:
        """How many events there are of each type."""
        names = self.stream.type_names
        counts = np.bincount(self.stream.kind[self.rows], minlength=len(names))
        return dict(zip(names, counts.tolist(), strict=True))

    @property
    def num_items(self) -> int:
        """How many items were seen up to the end of this slice, by whomever."""
        return int(self.stream.items_so_far[self.stop - 1])

    @property
    def so_far(self) -> Slice:
        """Everything from the beginning of the stream to the end of this slice."""
        return Slice(self.stream, 0, self.stop)

    def tail(self, share: float) -> Slice:
        """The latest `share` of the events."""
        return Slice(self.stream, self.stop - max(1, round(len(self) * share)), self.stop)

    def windows(self, size: int | None) -> list[Slice]:
        """Consecutive slices of at most `size` events; one slice when None."""
        step = size or max(1, len(self))
        return [
            Slice(self.stream, start, min(start + step, self.stop))
            for start in range(self.start, self.stop, step)
        ]

    def pairs(self, max_distance: int) -> tuple[Ints, Ints, Ints]:
        """What followed what: (earlier item [P], later item [P], distance [P]).

        The later event lies in this slice, the earlier one anywhere before it in the user's
        stream, 1 … `max_distance` steps back (a basket is one step) and at most MAX_LAG lines.
        """
        stream = self.stream
        later = stream.place[self.rows]
        found: list[tuple[Ints, Ints, Ints]] = []
        for lag in range(1, MAX_LAG + 1):
            later = later[later - lag >= stream.user_start[later]]
            distance = stream.step[later] - stream.step[later - lag]
            later, distance = later[distance <= max_distance], distance[distance <= max_distance]
            if len(later) == 0:
                break
            apart = distance > 0
            now = later[apart]
            found.append(
                (stream.sequence_items[now - lag], stream.sequence_items[now], distance[apart])
            )
        if not found:
            none = np.empty(0, dtype=np.int64)
            return none, none, none
        earlier, item, distance = (np.concatenate(part) for part in zip(*found, strict=True))
        return earlier, item, distance

    def sequences(self) -> tuple[Ints, Ints, Ints]:
        """The slice user by user: (items [n], oldest first; offsets [U+1]; users [U])."""
        rows = self.rows
        order = np.argsort(self.stream.user[rows], kind="stable")
        users, counts = np.unique(self.stream.user[rows], return_counts=True)
        return self.stream.item[rows[order]], np.concatenate(([0], np.cumsum(counts))), users

    def events(self, seed: int) -> list[Event]:
        """The same events as the learner would read them from the log; keys hashed with `seed`."""
        stream, rows = self.stream, self.rows
        keys = hashed(rows, 2 * seed + 1).tolist()
        user_keys = hashed(stream.user[rows], 2 * seed).tolist()
        users, items = stream.users.ids, stream.items.ids
        return [
            Event(
                user_id=users[stream.user[row]],
                item_id=items[stream.item[row]],
                type=stream.types[row],
                weight=float(stream.weight[row]),
                time_ms=int(stream.time_ms[row]),
                key=key,
                user_key=user_key,
            )
            for row, key, user_key in zip(rows, keys, user_keys, strict=True)
        ]


def probe_users(ids: Sequence[str], share: float) -> Mask:
    """Which of the users `ids` [U] are probes: about `share` of them, by BLAKE2b of the id.

    The same users whatever the seed and whoever else is in the stream.

    Raises:
        ValueError: a share outside of [0, 1).
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"probes: must lie in [0, 1), got {share}")
    keys = (int.from_bytes(blake2b(user.encode(), digest_size=8).digest()) for user in ids)
    return np.fromiter((is_probe(key, share) for key in keys), dtype=np.bool_, count=len(ids))


def hashed(rows: Ints, seed: int) -> npt.NDArray[np.uint64]:
    """Rows [n] → 64-bit hashes [n], uniform and without collisions for one seed.

    Source: SplitMix64 (Steele, Lea and Flood 2014), started at `seed`.
    """
    with np.errstate(over="ignore"):
        z = rows.astype(np.uint64) + np.uint64(1) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)
