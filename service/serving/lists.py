"""What is recommended to those about whom nothing is known: trending, popular and new items."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from service.errors import Unavailable
from service.sections import ServingSettings
from service.serving.catalogue import Dated
from service.serving.rules import Scored
from service.storage.clock import now_ms
from service.storage.popularity import REACH_H, PopularityStore

_PAGE = 5_000
_OLDER_KEPT_S = 10.0
_CATCH_UP_EVERY_S = 0.1
"""However many answers come out short, the lists are counted anew for them at most so often."""


@dataclass(frozen=True, slots=True)
class FallbackLists:
    """The lists of one moment, each in falling order."""

    trending: tuple[Scored, ...] = ()
    popular: tuple[Scored, ...] = ()
    first_seen: tuple[Dated, ...] = ()
    """Items that events named, latest first: those that no catalogue entry dates."""
    older: tuple[Dated, ...] = ()
    """Those named before `first_seen`, as far as answers that came out short have asked."""


class ListsFeed:
    """Counts the lists anew now and then, and holds the last ones that could be counted."""

    def __init__(self, popularity: PopularityStore, settings: ServingSettings) -> None:
        self._popularity = popularity
        self._settings = settings
        self._lists = FallbackLists()
        self._listed: frozenset[str] = frozenset()
        self._counted_at: float | None = None
        self._ended_at = float("-inf")
        self._told_at = float("-inf")
        self._catching_up = asyncio.Lock()
        self._older_from = 0.0
        self._older_end = False

    @property
    def lists(self) -> FallbackLists:
        """The current lists; take them once per request."""
        return self._lists

    def age_s(self) -> float | None:
        """Seconds since the lists were counted, None before the first time."""
        return None if self._counted_at is None else time.monotonic() - self._counted_at

    def tell(self, item_ids: Iterable[str]) -> None:
        """Events that name these items have been accepted here.

        If one is in no list, the lists are behind until they are counted again.
        """
        if not self._listed.issuperset(item_ids):
            self._told_at = time.monotonic()

    async def catch_up(self, lists: FallbackLists) -> bool:
        """Count anew if this replica accepted an event that names an item unknown to `lists`.

        For answers that all of `lists` left short: an item that an event has just named is there.
        Those who wait share one count, and who comes soon after one waits until the next is due:
        a stream of events beside a stream of short answers makes ten counts a second and no more.

        Returns:
            Whether the lists are newer than `lists` now.
        """
        told_at = self._told_at
        if self._knows(told_at):
            return self._lists is not lists
        async with self._catching_up:
            if not self._knows(told_at):
                await asyncio.sleep(self._ended_at + _CATCH_UP_EVERY_S - time.monotonic())
            if not self._knows(told_at):  # the regular count may have come by meanwhile
                with suppress(Unavailable):
                    await self.refresh()
        return self._lists is not lists

    def _knows(self, told_at: float) -> bool:
        """Whether the last count began after this moment."""
        return self._counted_at is not None and told_at <= self._counted_at

    async def reach_back(self, lists: FallbackLists) -> bool:
        """Read on behind the oldest items of `lists`, as far again as is known, or a page.

        For answers that all lists left short: an item that only old events named is there. Each
        reading makes them anew, so that there are few readings, however many items there are.

        Returns:
            Whether the lists hold more than `lists` now.
        """
        async with self._catching_up:
            if self._lists is not lists:
                return True
            if self._older_end or len(lists.first_seen) < self._settings.lists_size:
                return False
            try:
                found, is_end = await self._behind(len(lists.first_seen) + len(lists.older))
            except Unavailable:
                return False
            if self._lists is not lists:  # counted anew meanwhile
                return True
            if not lists.older:
                self._older_from = time.monotonic()
            self._older_end = is_end
            self._lists = replace(lists, older=lists.older + found)
            return bool(found)

    async def _behind(self, known: int) -> tuple[tuple[Dated, ...], bool]:
        """Items behind the latest `known`, as many again or a page, and whether these are all."""
        found: list[Dated] = []
        is_end = False
        while not is_end and len(found) < max(known, _PAGE):
            page = await self._popularity.first_seen(_PAGE, skip=known + len(found))
            found += ((ms, item) for item, ms in page)
            is_end = len(page) < _PAGE
        return tuple(found), is_end

    async def named(self, item_ids: Sequence[str]) -> dict[str, int]:
        """Of those that any event has named: the time of the first one, in Unix milliseconds.

        None of them while the store does not answer.
        """
        try:
            return await self._popularity.named(item_ids)
        except Unavailable:
            return {}

    async def refresh(self) -> None:
        """Count the lists anew. Errors of the store pass through and leave the old lists."""
        started, size = time.monotonic(), self._settings.lists_size
        trending = await self._popularity.trending(
            now_ms(), self._settings.trending_half_life_h, size
        )
        popular = await self._popularity.popular(REACH_H, size)
        first_seen = await self._popularity.first_seen(size)
        newest = tuple(sorted(((ms, item) for item, ms in first_seen), reverse=True))
        older = self._lists.older
        if newest != self._lists.first_seen or started - self._older_from > _OLDER_KEPT_S:
            older, self._older_end = (), False
        self._lists = FallbackLists(tuple(trending), tuple(popular), newest, older)
        self._listed = frozenset(item for item, _ in first_seen)
        self._counted_at, self._ended_at = started, time.monotonic()
