"""What is popular, trending and new, counted by the hour as events arrive.

Each hour has a sorted set (item → weight of its positive events) that is dropped after eight days.
Counts of past hours hardly change, so their sum is kept for a minute; the hours still moving are
read at each call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from heapq import nlargest
from typing import cast

import redis.asyncio

from service.storage.clock import now_ms
from service.storage.connections import answering
from service.storage.keys import Keys

REACH_H = 7 * 24
"""How far back an event may lie and still count in its own hour."""
BUCKET_LIFE_S = (REACH_H + 24) * 3600

_MOVING_H = 2
_KEEP_PAST_MS = 60_000
_HOUR_MS = 3_600_000


def bucket_hour(time_ms: int, now_ms: int) -> int:
    """The hour an event counts in: its own, or the present one when it lies out of reach.

    An import of old events is thus popular now, which is better than an empty list.
    """
    present, own = now_ms // _HOUR_MS, time_ms // _HOUR_MS
    return own if present - REACH_H < own <= present else present


class PopularityStore:
    """Lists of items by their recent positive events; `Ingest` counts them.

    Of each hour only the `2 * size` foremost items are read, so the tail of a list is approximate
    where more items than that are met in an hour.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._past: dict[tuple[float, int, int], tuple[int, int, Mapping[str, float]]] = {}

    async def trending(self, now_ms: int, half_life_h: float, size: int) -> list[tuple[str, float]]:
        """Items by decayed weight: Σ over hours of weight · 2^(−age / half life), best first.

        Raises:
            Unavailable: the server does not answer.
        """
        return await self._list(now_ms, REACH_H, half_life_h, size)

    async def popular(self, window_h: int, size: int) -> list[tuple[str, float]]:
        """Items by weight within the last `window_h` hours, best first.

        Raises:
            Unavailable: the server does not answer.
        """
        return await self._list(self._clock(), min(window_h, REACH_H), float("inf"), size)

    async def first_seen(self, size: int, after_ms: int = 0) -> list[tuple[str, int]]:
        """Items by the time of the first event that named them, newest first."""
        with answering("latest items"):
            found = await self._client.zrevrangebyscore(
                self._keys.first_seen, "+inf", f"({after_ms}", start=0, num=size, withscores=True
            )
        return [(item.decode(), int(at)) for item, at in cast(list[tuple[bytes, float]], found)]

    async def known(self, item_id: str) -> bool:
        """Whether any event has named the item."""
        with answering("known items"):
            return await self._client.zscore(self._keys.first_seen, item_id) is not None

    async def _list(
        self, now_ms: int, window_h: int, half_life_h: float, size: int
    ) -> list[tuple[str, float]]:
        present = now_ms // _HOUR_MS
        moving = range(present, present - min(_MOVING_H, window_h), -1)
        past = range(present - _MOVING_H, present - window_h, -1)
        sums = defaultdict(float, await self._past_sum(past, present, half_life_h, size))
        _add(sums, await self._read(moving, 2 * size), present, half_life_h)
        return nlargest(size, sums.items(), key=lambda pair: (pair[1], pair[0]))

    async def _past_sum(
        self, hours: range, present: int, half_life_h: float, size: int
    ) -> Mapping[str, float]:
        key = (half_life_h, len(hours), size)
        kept = self._past.get(key)
        now = self._clock()
        if kept is not None and kept[0] == present and now - kept[1] < _KEEP_PAST_MS:
            return kept[2]
        sums: defaultdict[str, float] = defaultdict(float)
        _add(sums, await self._read(hours, 2 * size), present, half_life_h)
        self._past[key] = (present, now, sums)
        return sums

    async def _read(
        self, hours: Iterable[int], size: int
    ) -> list[tuple[int, list[tuple[bytes, float]]]]:
        hours = list(hours)
        if not hours:
            return []
        with answering("popularity"):
            async with self._client.pipeline(transaction=False) as pipe:
                for hour in hours:
                    pipe.zrevrange(self._keys.popularity(hour), 0, size - 1, withscores=True)
                return list(zip(hours, await pipe.execute(), strict=True))


def _add(
    sums: defaultdict[str, float],
    hours: list[tuple[int, list[tuple[bytes, float]]]],
    present: int,
    half_life_h: float,
) -> None:
    for hour, items in hours:
        factor: float = 2.0 ** ((hour - present) / half_life_h)
        for item, weight in items:
            sums[item.decode()] += factor * weight
