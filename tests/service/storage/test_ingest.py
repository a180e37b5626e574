"""Ingest: one atomic, idempotent step."""

from __future__ import annotations

import asyncio

import pytest
import redis
import redis.asyncio

from service.domain.interactions import START, Interaction, Position
from service.errors import Backpressure
from service.storage.connections import connect_async
from service.storage.event_log import EventLog
from service.storage.history import HistoryStore
from service.storage.ingest import Ingest
from service.storage.keys import Keys
from service.storage.popularity import PopularityStore
from tests.service.storage.conftest import make_ingest
from tests.service.storage.events import HOUR_MS, NOW_MS, click

pytestmark = pytest.mark.anyio


async def test_a_batch_is_one_entry_and_comes_back_whole(ingest: Ingest, log: EventLog) -> None:
    batch = [
        click("u1", "i1", "e1", value=2.5, recommendation_id="r-1"),
        click("ü/∞", "日本", "e2", type="cart"),
    ]
    position = await ingest.append(batch)
    entries = log.read(START, 10)
    assert [entry.position for entry in entries] == [position]
    assert list(entries[0].interactions) == batch
    assert log.last() == position
    assert log.length() == 1


async def test_the_history_has_it_before_the_answer(
    ingest: Ingest, histories: HistoryStore
) -> None:
    batch = [click("u1", f"i{n}", f"e{n}") for n in range(12)]
    await ingest.append(batch)
    assert await histories.recent("u1", 100) == batch, "the order of the request is kept"
    assert await histories.recent("u1", 3) == batch[-3:]
    assert await histories.recent("nobody", 3) == []
    assert await histories.recent("u1", 0) == []


async def test_histories_are_ordered_by_time_not_by_arrival(
    ingest: Ingest, histories: HistoryStore
) -> None:
    late, early = click(event_id="late"), click(event_id="early", time_ms=NOW_MS - 5_000)
    await ingest.append([late])
    await ingest.append([early])
    assert await histories.recent("u1", 10) == [early, late]


async def test_sent_twice_it_is_two_entries_and_one_of_everything_else(
    ingest: Ingest, log: EventLog, histories: HistoryStore, popularity: PopularityStore
) -> None:
    batch = [click("u1", "i1", "e1"), click("u1", "i2", "e2", type="cart")]
    await ingest.append(batch)
    later = [click("u1", "i1", "e1", time_ms=NOW_MS + 9), batch[1], batch[1]]
    await ingest.append(later)
    assert [len(entry.interactions) for entry in log.read(START, 100)] == [2, 3]
    assert await histories.recent("u1", 10) == batch
    assert await popularity.popular(24, 10) == [("i2", 3.0), ("i1", 1.0)]


async def test_only_positive_events_are_popular_but_all_make_an_item_known(
    ingest: Ingest, popularity: PopularityStore
) -> None:
    await ingest.append(
        [
            click(item="skipped", event_id="1", type="skip"),
            click(item="poor", event_id="2", type="rating", value=3.9),
            click(item="good", event_id="3", type="rating", value=4.0),
        ]
    )
    assert await popularity.popular(1, 10) == [("good", 1.0)]
    assert await popularity.known("skipped")
    assert not await popularity.known("never")


async def test_the_history_is_capped_and_what_falls_out_is_counted_all_the_same(
    redis_async: redis.asyncio.Redis,
    keys: Keys,
    histories: HistoryStore,
    popularity: PopularityStore,
) -> None:
    ingest = make_ingest(redis_async, keys, history_size=3)
    await ingest.append([click(item=f"i{n}", event_id=f"e{n}", time_ms=n) for n in range(1, 6)])
    assert [event.item_id for event in await histories.recent("u1", 9)] == ["i3", "i4", "i5"]
    assert dict(await popularity.popular(1, 9)) == {f"i{n}": 1.0 for n in range(1, 6)}
    await ingest.append([click(item="late", event_id="late", time_ms=0)])
    await ingest.append([click(item="i5", event_id="e5", time_ms=5)])
    assert [event.item_id for event in await histories.recent("u1", 9)] == ["i3", "i4", "i5"]
    assert dict(await popularity.popular(1, 9)) == {
        "late": 1.0, **{f"i{n}": 1.0 for n in range(1, 6)}
    }  # fmt: skip


async def test_a_busy_user_is_counted_in_full(ingest: Ingest, popularity: PopularityStore) -> None:
    batch = [click(item="i", event_id=f"e{n}") for n in range(300)]
    await ingest.append(batch)  # the history holds 200
    assert await popularity.popular(1, 9) == [("i", 300.0)]


async def test_a_large_request_of_one_user_is_one_step(
    redis_async: redis.asyncio.Redis, keys: Keys, histories: HistoryStore, log: EventLog
) -> None:
    ingest = make_ingest(redis_async, keys, history_size=2_500)
    batch = [
        click(item=f"i{n}", event_id=f"e{n}", time_ms=NOW_MS - 9_000 + n) for n in range(4_000)
    ]
    await ingest.append(batch)
    assert await histories.recent("u1", 9_999) == batch[-2_500:]
    assert log.total() == 4_000


async def test_of_too_many_items_those_named_longest_ago_are_forgotten(
    redis_async: redis.asyncio.Redis,
    redis_client: redis.Redis,
    keys: Keys,
    popularity: PopularityStore,
) -> None:
    ingest = make_ingest(redis_async, keys, named_items=1_000)

    def named(number: int, time_ms: int) -> Interaction:
        return click(item=f"i{number}", event_id=f"{number} {time_ms}", time_ms=time_ms)

    await ingest.append([named(number, 10_000 + number) for number in range(1_000)])
    await ingest.append([named(0, 90_000)])
    await ingest.append([named(number, 20_000 + number) for number in range(1_000, 1_003)])
    known = dict(await popularity.first_seen(2_000))
    assert set(known) == {f"i{number}" for number in (0, *range(4, 1_003))}
    assert known["i0"] == 10_000, "it is named again and again, and is none the newer for it"
    assert not await popularity.known("i1")

    await ingest.append([named(1, 95_000), click(item="old", event_id="old", time_ms=5)])
    known = dict(await popularity.first_seen(2_000))
    assert known["i1"] == 95_000, "it has come back"
    assert "old" not in known, "an import of what is long past pushes nobody out"
    assert len(known) == 1_000
    assert redis_client.zcard(keys.last_seen) == 1_000


async def test_a_bound_that_was_lowered_is_reached_step_by_step(
    redis_async: redis.asyncio.Redis,
    redis_client: redis.Redis,
    keys: Keys,
    popularity: PopularityStore,
) -> None:
    before = [click(item=f"i{n:04}", event_id=f"e{n}", time_ms=n) for n in range(3_500)]
    await make_ingest(redis_async, keys).append(before)
    redis_client.delete(keys.last_seen)  # as kept by a freshet that did not know it
    ingest, sizes = make_ingest(redis_async, keys, named_items=1_000), []
    for number in range(4):
        await ingest.append([click(item="new", event_id=f"n{number}", time_ms=9_000)])
        sizes.append(redis_client.zcard(keys.first_seen))
    assert sizes == [2_499, 1_497, 1_000, 1_000]
    kept = [item for item, _ in await popularity.first_seen(2_000)]
    assert kept == ["new", *(f"i{n:04}" for n in range(3_499, 2_500, -1))]
    assert redis_client.zcard(keys.last_seen) == 1_000


async def test_histories_and_buckets_expire(
    ingest: Ingest, redis_client: redis.Redis, keys: Keys
) -> None:
    await ingest.append([click()])
    assert 364 * 86_400 < redis_client.ttl(keys.history("u1")) <= 365 * 86_400
    bucket = keys.popularity(NOW_MS // HOUR_MS)
    assert redis_client.expiretime(bucket) == (NOW_MS // HOUR_MS) * 3600 + 8 * 86_400


async def test_every_key_carries_the_hash_tag(
    ingest: Ingest, redis_client: redis.Redis, keys: Keys
) -> None:
    await ingest.append([click("u{s9}", "i1", "e1")])
    found = list(redis_client.scan_iter(f"{keys.namespace}:*"))
    assert len(found) == 6
    assert len({redis_client.cluster("keyslot", key) for key in (*found, keys.log)}) == 1


async def test_a_full_log_accepts_nothing(
    redis_async: redis.asyncio.Redis, keys: Keys, log: EventLog, histories: HistoryStore
) -> None:
    ingest = make_ingest(redis_async, keys, max_entries=2)
    await ingest.append([click(event_id="1")])
    second = await ingest.append([click(event_id="2")])
    with pytest.raises(Backpressure, match="full"):
        await ingest.append([click("u2", "i9", "3")])
    assert (log.length(), log.total()) == (2, 2)
    assert await histories.recent("u2", 9) == []
    log.trim(second)
    assert (await ingest.append([click("u2", "i9", "3")])) > second


async def test_replicas_append_at_once_without_loss(
    redis_url: str, keys: Keys, log: EventLog
) -> None:
    async def replica(name: str) -> list[Position]:
        client = connect_async(redis_url, timeout_s=5.0)
        try:
            ingest = make_ingest(client, keys)
            batches = [
                [click(f"u{n}", f"i{k}", f"{name}-{n}-{k}") for k in range(5)] for n in range(40)
            ]
            return list(await asyncio.gather(*map(ingest.append, batches)))
        finally:
            await client.aclose()

    positions = [one for many in await asyncio.gather(replica("a"), replica("b")) for one in many]
    entries = log.read(START, 10_000)
    assert len(set(positions)) == 80
    assert [entry.position for entry in entries] == sorted(positions)
    assert sum(len(entry.interactions) for entry in entries) == log.total() == 400


async def test_forgetting_is_at_once(ingest: Ingest, histories: HistoryStore) -> None:
    await ingest.append([click("u1"), click("u2")])
    assert await histories.forget("u1")
    assert not await histories.forget("u1")
    assert await histories.recent_many(["u1", "u2"], 9) == [[], [click("u2")]]
