"""What happened, as training sees it: events, samples, and every user's latest items.

Everything is named by the caller's own ids, so that samples outlive the version whose rows they
were trained into.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

MOST_SKIPPED = 8
"""Skipped items that a sample remembers at most: the latest ones."""


@dataclass(frozen=True, slots=True)
class Event:
    """One interaction as the model learns it.

    `weight` above 0 is a positive signal. `skip` marks an item that was seen and passed over, which
    no positive event is: the user's samples remember it. Training ignores all others. `key` is the
    keyed hash of (user id, event id) and `user_key` that of the user id, both in 0 … 2⁶⁴−1, made by
    the caller: models know no secret.
    """

    user_id: str
    item_id: str
    type: str
    weight: float
    time_ms: int
    key: int
    user_key: int
    skip: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """A stretch of one user's items, oldest first, of which the last `num_targets` are targets.

    Each target is predicted from all items before it (the first of a user from START alone).
    `types` and `weights` belong to the targets; `key` and `time_ms` are those of the last target.
    `skipped` are items that the user passed over among them, each once, the latest last: ids that
    need be nobody's, at most `MOST_SKIPPED` of them.
    """

    user_id: str
    item_ids: tuple[str, ...]
    num_targets: int
    types: tuple[str, ...]
    weights: tuple[float, ...]
    key: int
    time_ms: int
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.num_targets <= len(self.item_ids):
            raise ValueError(
                f"num_targets: must lie in 1 … {len(self.item_ids)}, got {self.num_targets}"
            )
        if len(self.types) != self.num_targets or len(self.weights) != self.num_targets:
            raise ValueError("types and weights: one for each target")


class Histories:
    """The latest `size` items of every user, in log order. Copies are cheap and independent."""

    def __init__(self, size: int, items: Mapping[str, tuple[str, ...]] | None = None) -> None:
        if size < 1:
            raise ValueError(f"size: must be at least 1, got {size}")
        self.size = size
        self._items: dict[str, tuple[str, ...]] = dict(items or {})

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, user_id: str) -> tuple[str, ...]:
        """The user's latest items, oldest first; empty for a user not met."""
        return self._items.get(user_id, ())

    def users(self) -> Iterable[str]:
        return self._items.keys()

    def copy(self) -> Histories:
        """A copy that can be extended without changing this one (tuples are shared)."""
        return Histories(self.size, self._items)

    def extend(self, events: Iterable[Event]) -> None:
        """Take the positive events in, keeping the latest `size` items of each user."""
        for user_id, told in _by_user(events).items():
            items = self[user_id] + tuple(event.item_id for event in told.taken)
            self._items[user_id] = items[-self.size :]

    def samples(self, events: Iterable[Event]) -> list[Sample]:
        """Every positive event as the target of one sample, in order of the users' first events.

        A user's events are cut into stretches of at most `size` items; a stretch that has a past
        opens with at least a quarter of `size` of it, so that no target loses its context. What a
        user skipped goes with the stretch of the positive event after it, or, behind the last one,
        before it. Who did nothing but skip has no sample.
        """
        samples: list[Sample] = []
        for user_id, told in _by_user(events).items():
            samples.extend(_stretches(user_id, self[user_id], told, self.size))
        return samples


@dataclass(frozen=True, slots=True)
class _Told:
    """Of one user, in order: the positive events, and what was skipped after how many of them."""

    taken: Sequence[Event]
    skipped: Sequence[tuple[int, str]]

    def skipped_among(self, begin: int, end: int) -> tuple[str, ...]:
        """What was passed over amid the positive events `begin` … `end`−1 and not taken after all,
        each once, the latest last."""
        first, last = (bisect_left(self.skipped, at, key=itemgetter(0)) for at in (begin, end))
        if end == len(self.taken):
            last = len(self.skipped)
        found: dict[str, None] = {}
        for after, item_id in reversed(self.skipped[first:last]):
            if len(found) == MOST_SKIPPED:
                break
            if all(event.item_id != item_id for event in self.taken[after:end]):
                found[item_id] = None
        return tuple(found)[::-1]


def _by_user(events: Iterable[Event]) -> dict[str, _Told]:
    """What each user took and skipped, users in the order of their first positive events."""
    taken: dict[str, list[Event]] = {}
    skipped: dict[str, list[tuple[int, str]]] = {}
    for event in events:
        if event.weight > 0:
            taken.setdefault(event.user_id, []).append(event)
        elif event.skip:
            after = len(taken.get(event.user_id, ()))
            skipped.setdefault(event.user_id, []).append((after, event.item_id))
    return {user_id: _Told(each, skipped.get(user_id, ())) for user_id, each in taken.items()}


def _stretches(user_id: str, past: tuple[str, ...], told: _Told, size: int) -> Iterator[Sample]:
    fresh = told.taken
    items = past + tuple(event.item_id for event in fresh)
    first, done = len(past), len(past)
    while done < len(items):
        context = min(done, size // 4)
        end = min(len(items), done + size - context)
        begin = max(0, end - size)
        targets = fresh[done - first : end - first]
        yield Sample(
            user_id=user_id,
            item_ids=items[begin:end],
            num_targets=end - done,
            types=tuple(event.type for event in targets),
            weights=tuple(event.weight for event in targets),
            key=targets[-1].key,
            time_ms=targets[-1].time_ms,
            skipped=told.skipped_among(done - first, end - first),
        )
        done = end
