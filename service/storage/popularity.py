"""What is popular, trending and new, counted by the hour as events arrive.

Each hour has a sorted set (item → weight of its positive events) that is dropped after eight days.
What is new is told by the first event that named it, for as many items as settings say; of more,
those named longest ago are forgotten, and are new when they are named again.
Reading and summing is work for a thread: of a hundred thousand items, the event loop would stand
still meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import redis

from service.storage.clock import HOUR_MS, now_ms
from service.storage.connections import answering
from service.storage.hourly import HourlyCounts
from service.storage.keys import Keys

REACH_H = 7 * 24
"""How far back an event may lie and still count in its own hour."""
BUCKET_LIFE_S = (REACH_H + 24) * 3600


def bucket_hour(time_ms: int, now_ms: int) -> int:
    """The hour an event counts in: its own, or the present one when it lies out of reach.

    An import of old events is thus popular now, which is better than an empty list.
    """
    present, own = now_ms // HOUR_MS, time_ms // HOUR_MS
    return own if present - REACH_H < own <= present else present


class PopularityStore:
    """Lists of items by their recent positive events; `Ingest` counts them.

    Of each hour only the `2 * size` foremost items are read, so the tail of a list is approximate
    where more items than that are met in an hour. A late event shows in its past hour within a
    minute or two.

    Args:
        client: a client for threads; the methods are for the event loop, and never block it.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._counts = HourlyCounts(client, keys, reach_h=REACH_H)

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
        return await self._list(self._clock(), window_h, float("inf"), size)

    async def first_seen(
        self, size: int, after_ms: int = 0, skip: int = 0
    ) -> list[tuple[str, int]]:
        """Items by the time of the first event that named them, newest first, less the first
        `skip`.

        Raises:
            Unavailable: the server does not answer.
        """
        return await asyncio.to_thread(self._first_seen, size, after_ms, skip)

    async def known(self, item_id: str) -> bool:
        """Whether any event has named the item, as far as is remembered.

        Raises:
            Unavailable: the server does not answer.
        """
        return bool(await self.named([item_id]))

    async def named(self, item_ids: Sequence[str]) -> dict[str, int]:
        """Of those that any event has named: the time of the first one, in Unix milliseconds.

        Raises:
            Unavailable: the server does not answer.
        """
        return await asyncio.to_thread(self._named, item_ids) if item_ids else {}

    async def _list(
        self, now_ms: int, window_h: int, half_life_h: float, size: int
    ) -> list[tuple[str, float]]:
        return await asyncio.to_thread(
            self._counts.foremost,
            self._clock(),
            now_ms // HOUR_MS,
            window_h,
            half_life_h,
            size,
        )

    def _first_seen(self, size: int, after_ms: int, skip: int) -> list[tuple[str, int]]:
        with answering("latest items"):
            found = self._client.zrevrangebyscore(
                self._keys.first_seen, "+inf", f"({after_ms}", start=skip, num=size, withscores=True
            )
        return [(item.decode(), int(at)) for item, at in cast(list[tuple[bytes, float]], found)]

    def _named(self, item_ids: Sequence[str]) -> dict[str, int]:
        with answering("known items"):
            found = self._client.zmscore(self._keys.first_seen, list(item_ids))
        times = zip(item_ids, found, strict=True)
        return {item_id: int(at) for item_id, at in times if at is not None}
