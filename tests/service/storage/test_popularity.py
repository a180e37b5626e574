"""Popular, trending and latest items."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import redis

from service.storage.hourly import HourlyCounts
from service.storage.ingest import Ingest
from service.storage.keys import Keys
from service.storage.popularity import PopularityStore, bucket_hour
from tests.service.storage.events import HOUR_MS, NOW_MS, click

pytestmark = pytest.mark.anyio


async def test_trending_decays_and_popular_has_a_window(
    ingest: Ingest, popularity: PopularityStore
) -> None:
    old = [click(f"u{n}", "old", f"o{n}", time_ms=NOW_MS - 12 * HOUR_MS) for n in range(3)]
    await ingest.append([*old, click("u1", "new", "n1"), click("u2", "new", "n2")])
    assert await popularity.popular(24, 10) == [("old", 3.0), ("new", 2.0)]
    assert await popularity.popular(12, 10) == [("new", 2.0)]
    assert await popularity.trending(NOW_MS, 6.0, 10) == [("new", 2.0), ("old", 0.75)]
    assert await popularity.trending(NOW_MS, 6.0, 1) == [("new", 2.0)]


async def test_a_past_hour_is_counted_again_after_a_minute(
    redis_client: redis.Redis, ingest: Ingest, keys: Keys
) -> None:
    now = [NOW_MS]
    popularity = PopularityStore(redis_client, keys, clock=lambda: now[0])
    past = NOW_MS - 5 * HOUR_MS
    await ingest.append([click("u1", "i", "1", time_ms=past)])
    assert await popularity.popular(24, 10) == [("i", 1.0)]
    await ingest.append([click("u2", "i", "2", time_ms=past)])
    now[0] += 61_000
    assert await popularity.popular(24, 10) == [("i", 2.0)]


async def test_latest_items_by_their_first_event(
    ingest: Ingest, popularity: PopularityStore
) -> None:
    await ingest.append([click(item="a", event_id="1", time_ms=NOW_MS - 2_000)])
    await ingest.append([click(item="b", event_id="2", time_ms=NOW_MS - 1_000)])
    await ingest.append([click(item="a", event_id="3")])
    assert await popularity.first_seen(10) == [("b", NOW_MS - 1_000), ("a", NOW_MS - 2_000)]
    assert await popularity.first_seen(1) == [("b", NOW_MS - 1_000)]
    assert await popularity.first_seen(10, after_ms=NOW_MS - 2_000) == [("b", NOW_MS - 1_000)]


def test_events_out_of_reach_count_now() -> None:
    present = NOW_MS // HOUR_MS
    assert bucket_hour(NOW_MS, NOW_MS) == present
    assert bucket_hour(NOW_MS - 3 * HOUR_MS, NOW_MS) == present - 3
    assert bucket_hour(0, NOW_MS) == present
    assert bucket_hour(NOW_MS + HOUR_MS, NOW_MS) == present


async def test_a_late_list_is_right_after_hours_have_passed(
    redis_client: redis.Redis, ingest: Ingest, keys: Keys
) -> None:
    """What falls out of reach is forgotten with its ids, and the rest still adds up."""
    now = [NOW_MS]
    popularity = PopularityStore(redis_client, keys, clock=lambda: now[0])
    old = [click("u", "old", "1", time_ms=NOW_MS - 100 * HOUR_MS)]
    await ingest.append([*old, click("u", "a", "2"), click("v", "a", "3"), click("u", "b", "4")])
    assert await popularity.popular(168, 10) == [("a", 2.0), ("old", 1.0), ("b", 1.0)]
    now[0] += 80 * HOUR_MS
    assert await popularity.popular(168, 10) == [("a", 2.0), ("b", 1.0)]
    assert await popularity.popular(168, 1) == [("a", 2.0)]
    assert await popularity.trending(now[0], 80.0, 10) == [("a", 1.0), ("b", 0.5)]


async def test_lists_are_counted_off_the_event_loop_from_hours_read_once(
    popularity: PopularityStore, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ingest.append([click("u", "a", "1", time_ms=NOW_MS - 30 * HOUR_MS)])
    reads: list[tuple[bool, int]] = []
    read = HourlyCounts._read

    def spied(self: HourlyCounts, hours: Sequence[int], now_ms: int) -> None:
        if self is popularity._counts:  # replicas of other tests may count beside this one
            reads.append((threading.current_thread() is threading.main_thread(), len(hours)))
        read(self, hours, now_ms)

    monkeypatch.setattr(HourlyCounts, "_read", spied)
    for window_h in (168, 100, 99, 31):  # each list is another sum over the same hours
        assert await popularity.popular(window_h, 10) == [("a", 1.0)]
    assert await popularity.popular(2, 10) == []
    assert reads == [(False, 168), *[(False, 2)] * 4]
