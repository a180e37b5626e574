"""What is recommended to those about whom nothing is known: trending, popular and new items."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from service.errors import Unavailable
from service.serving.catalogue import Dated
from service.settings import ServingSettings
from service.storage.clock import now_ms
from service.storage.popularity import PopularityStore

POPULAR_WINDOW_H = 7 * 24

Scored = tuple[str, float]
"""An item id and its score; lists of them fall in score."""


@dataclass(frozen=True, slots=True)
class FallbackLists:
    """The lists of one moment, each in falling order."""

    trending: tuple[Scored, ...] = ()
    popular: tuple[Scored, ...] = ()
    first_seen: tuple[Dated, ...] = ()
    """Items that events named, latest first: those that no catalogue entry dates."""


class ListsFeed:
    """Counts the lists anew now and then, and holds the last ones that could be counted."""

    def __init__(self, popularity: PopularityStore, settings: ServingSettings) -> None:
        self._popularity = popularity
        self._settings = settings
        self._lists = FallbackLists()
        self._counted_at: float | None = None
        self._told_at = float("-inf")
        self._catching_up = asyncio.Lock()

    @property
    def lists(self) -> FallbackLists:
        """The current lists; take them once per request."""
        return self._lists

    def age_s(self) -> float | None:
        """Seconds since the lists were counted, None before the first time."""
        return None if self._counted_at is None else time.monotonic() - self._counted_at

    def tell(self) -> None:
        """Events have been accepted here: the lists are behind until they are counted again."""
        self._told_at = time.monotonic()

    async def catch_up(self) -> bool:
        """Count anew if this replica accepted events since the last count.

        For answers that the lists left short: an item that an event has just named is there.

        Returns:
            Whether the lists are newer now.
        """
        async with self._catching_up:
            if self._counted_at is not None and self._told_at <= self._counted_at:
                return False
            try:
                await self.refresh()
            except Unavailable:
                return False
            return True

    async def refresh(self) -> None:
        """Count the lists anew. Errors of the store pass through and leave the old lists."""
        started, size = time.monotonic(), self._settings.lists_size
        trending = await self._popularity.trending(
            now_ms(), self._settings.trending_half_life_h, size
        )
        popular = await self._popularity.popular(POPULAR_WINDOW_H, size)
        first_seen = await self._popularity.first_seen(size)
        self._lists = FallbackLists(
            trending=tuple(trending),
            popular=tuple(popular),
            first_seen=tuple(sorted(((ms, item) for item, ms in first_seen), reverse=True)),
        )
        self._counted_at = started
