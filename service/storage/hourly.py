"""The foremost items of each hour, read from Redis and held as rows and weights to be summed.

Every list, of whatever window or decay, is a weighted sum over the same hours, so each hour is read
once for all of them. The hours still moving are read at each sum; of the others, which only late
events change, a few at a time, the one read longest ago first.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import redis

from service.storage.connections import answering
from service.storage.keys import Keys

_MOVING_H = 2
_KEEP_MS = 60_000
_AGED_AT_ONCE = 6
_READ_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Hour:
    """What was read of an hour, and when."""

    read_ms: int
    rows: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]


class HourlyCounts:
    """Weighted sums over hours; for threads, one of which at a time reads and sums.

    Args:
        client: a client for threads.
        reach_h: hours behind the present beyond which nothing is held.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, reach_h: int) -> None:
        self._client = client
        self._keys = keys
        self._reach_h = reach_h
        self._lock = threading.Lock()
        self._size = 0
        self._hours: dict[int, _Hour] = {}
        self._rows: dict[bytes, int] = {}
        self._ids: list[bytes] = []

    def foremost(
        self, now_ms: int, present: int, window_h: int, half_life_h: float, size: int
    ) -> list[tuple[str, float]]:
        """The `size` items with the largest Σ weight · 2^(−age in hours / half life), best first.

        Args:
            now_ms: Unix milliseconds, to tell what was read too long ago.
            present: the present hour.
            window_h: how many hours count, the present one included.

        Raises:
            Unavailable: the server does not answer.
        """
        hours = range(present, present - min(window_h, self._reach_h), -1)
        with self._lock:
            self._drop_outdated(present, 2 * size)
            self._read(self._due(hours, present, now_ms), now_ms)
            found = [(hour, self._hours[hour]) for hour in hours]
            rows = np.concatenate([one.rows for _, one in found])
            weights = np.concatenate(
                [one.weights * 2.0 ** ((hour - present) / half_life_h) for hour, one in found]
            )
            sums = np.bincount(rows, weights, minlength=len(self._ids)).astype(np.float64)
            return self._largest(sums, size)

    def _drop_outdated(self, present: int, size: int) -> None:
        """Forget what is out of reach, and the ids that only it named."""
        if size > self._size:
            self._hours, self._size = {}, size
        kept = {h: one for h, one in self._hours.items() if h > present - self._reach_h}
        if len(kept) == len(self._hours):
            return
        used = np.unique(np.concatenate([[-1], *(one.rows for one in kept.values())]))[1:]
        self._ids = [self._ids[row] for row in used]
        self._rows = {item: row for row, item in enumerate(self._ids)}
        self._hours = {
            hour: _Hour(one.read_ms, np.searchsorted(used, one.rows), one.weights)
            for hour, one in kept.items()
        }

    def _due(self, hours: Sequence[int], present: int, now_ms: int) -> list[int]:
        """Hours to read now: moving, never read, and some that were read too long ago."""
        moving = [hour for hour in hours if hour > present - _MOVING_H]
        past = [hour for hour in hours if hour <= present - _MOVING_H]
        new = [hour for hour in past if hour not in self._hours]
        aged = [h for h in past if h in self._hours and now_ms - self._hours[h].read_ms >= _KEEP_MS]
        aged.sort(key=lambda hour: (self._hours[hour].read_ms, -hour))
        return [*moving, *new, *aged[:_AGED_AT_ONCE]]

    def _read(self, hours: Sequence[int], now_ms: int) -> None:
        for start in range(0, len(hours), _READ_AT_ONCE):
            part = hours[start : start + _READ_AT_ONCE]
            with answering("popularity"), self._client.pipeline(transaction=False) as pipe:
                for hour in part:
                    pipe.zrevrange(self._keys.popularity(hour), 0, self._size - 1, withscores=True)
                answers = cast(list[list[tuple[bytes, float]]], pipe.execute())
            for hour, pairs in zip(part, answers, strict=True):
                rows = np.array([self._row(item) for item, _ in pairs], dtype=np.int64)
                weights = np.array([weight for _, weight in pairs], dtype=np.float64)
                self._hours[hour] = _Hour(now_ms, rows, weights)

    def _row(self, item: bytes) -> int:
        row = self._rows.setdefault(item, len(self._ids))
        if row == len(self._ids):
            self._ids.append(item)
        return row

    def _largest(self, sums: npt.NDArray[np.float64], size: int) -> list[tuple[str, float]]:
        """Best first, ties by id; which of those that tie for the last places is left open."""
        found = np.flatnonzero(sums > 0)
        if len(found) > size:
            found = found[np.argpartition(-sums[found], size - 1)[:size]]
        pairs = [(self._ids[row].decode(), float(sums[row])) for row in found]
        return sorted(pairs, key=lambda pair: (pair[1], pair[0]), reverse=True)
