"""Ingest: one atomic, idempotent step; and honest words when the server does not play along."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
import redis.asyncio

from service.domain.interactions import START, Position
from service.domain.weights import EventWeights
from service.errors import Backpressure, OutcomeUnknown, Unavailable
from service.settings import LogSettings
from service.storage.connections import connect, connect_async
from service.storage.event_log import EventLog
from service.storage.history import HistoryStore
from service.storage.ingest import Ingest
from service.storage.keys import Keys
from service.storage.popularity import PopularityStore, bucket_hour
from tests.conftest import ValkeyServer, free_port, start_valkey
from tests.service.storage.events import HOUR_MS, NOW_MS, click

pytestmark = pytest.mark.anyio
WEIGHTS = EventWeights({"click": 1.0, "cart": 3.0, "skip": 0.0, "rating": 1.0}, {"rating": 4.0})


def make_ingest(client: redis.asyncio.Redis, keys: Keys, **settings: Any) -> Ingest:
    return Ingest(client, keys, LogSettings(**settings), WEIGHTS, clock=lambda: NOW_MS)


@pytest.fixture
def ingest(redis_async: redis.asyncio.Redis, keys: Keys) -> Ingest:
    return make_ingest(redis_async, keys)


@pytest.fixture
def log(redis_client: redis.Redis, keys: Keys) -> EventLog:
    return EventLog(redis_client, keys)


@pytest.fixture
def histories(redis_async: redis.asyncio.Redis, keys: Keys) -> HistoryStore:
    return HistoryStore(redis_async, keys)


@pytest.fixture
def popularity(redis_async: redis.asyncio.Redis, keys: Keys) -> PopularityStore:
    return PopularityStore(redis_async, keys, clock=lambda: NOW_MS)


@pytest.fixture
async def own_client(own_valkey: ValkeyServer) -> AsyncIterator[redis.asyncio.Redis]:
    client = connect_async(own_valkey.url, timeout_s=0.3)
    yield client
    await client.aclose()


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


async def test_the_history_is_capped_and_what_falls_out_is_not_counted(
    redis_async: redis.asyncio.Redis,
    keys: Keys,
    histories: HistoryStore,
    popularity: PopularityStore,
) -> None:
    ingest = make_ingest(redis_async, keys, history_size=3)
    await ingest.append([click(item=f"i{n}", event_id=f"e{n}", time_ms=n) for n in range(1, 6)])
    await ingest.append([click(item="i1", event_id="e1", time_ms=1)])
    assert [event.item_id for event in await histories.recent("u1", 9)] == ["i3", "i4", "i5"]
    assert dict(await popularity.popular(1, 9)) == {"i3": 1.0, "i4": 1.0, "i5": 1.0}


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
    assert len(found) == 5
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


async def test_refused_is_backpressure(keys: Keys) -> None:
    client = connect_async(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.3)
    with pytest.raises(Backpressure):
        await make_ingest(client, keys).append([click()])
    with pytest.raises(Unavailable):
        await HistoryStore(client, keys).recent("u1", 1)
    assert await make_ingest(client, keys).durability() == "memory"
    await client.aclose()


async def test_out_of_memory_is_backpressure_and_writes_nothing(
    own_valkey: ValkeyServer, own_client: redis.asyncio.Redis, keys: Keys
) -> None:
    ingest = make_ingest(own_client, keys)
    await ingest.append([click()])
    await own_client.config_set("maxmemory", "1")
    with pytest.raises(Backpressure):
        await ingest.append([click("u2", event_id="e2")])
    with connect(own_valkey.url) as client:
        log = EventLog(client, keys)
        assert (log.length(), log.total()) == (1, 1)
    assert await HistoryStore(own_client, keys).recent("u2", 9) == []


async def test_a_replica_that_cannot_write_is_backpressure(
    own_client: redis.asyncio.Redis, keys: Keys
) -> None:
    await own_client.replicaof("127.0.0.1", str(free_port()))
    with pytest.raises(Backpressure):
        await make_ingest(own_client, keys).append([click()])


async def test_no_answer_in_time_is_an_unknown_outcome_and_lands_at_most_once(
    own_valkey: ValkeyServer, own_client: redis.asyncio.Redis, keys: Keys
) -> None:
    ingest = make_ingest(own_client, keys)
    await ingest.append([click(event_id="warm")])
    os.kill(own_valkey.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(OutcomeUnknown):
            await ingest.append([click(event_id="lost?")])
    finally:
        os.kill(own_valkey.process.pid, signal.SIGCONT)
    await ingest.append([click(event_id="lost?")])
    with connect(own_valkey.url) as client:
        entries = EventLog(client, keys).read(START, 100)
    ids = [event.event_id for entry in entries for event in entry.interactions]
    assert ids[0] == "warm"
    assert 1 <= ids.count("lost?") <= 2, "one by the caller, at most one by the first try"
    recent = await HistoryStore(own_client, keys).recent("u1", 9)
    assert sorted(event.event_id for event in recent) == ["lost?", "warm"]


async def test_a_cancelled_call_leaves_no_answer_for_the_next(
    own_valkey: ValkeyServer, keys: Keys
) -> None:
    client = connect_async(own_valkey.url, timeout_s=5.0, max_connections=1)
    histories, ingest = HistoryStore(client, keys), make_ingest(client, keys)
    await ingest.append([click("alice", "hers", "1"), click("bob", "his", "2")])
    for _ in range(20):
        os.kill(own_valkey.process.pid, signal.SIGSTOP)
        cancelled = asyncio.create_task(histories.recent("alice", 9))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        os.kill(own_valkey.process.pid, signal.SIGCONT)
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert [event.item_id for event in await histories.recent("bob", 9)] == ["his"]
    await client.aclose()


async def test_the_script_survives_a_restart_of_the_server(
    own_valkey: ValkeyServer, own_client: redis.asyncio.Redis, keys: Keys
) -> None:
    ingest = make_ingest(own_client, keys)
    await ingest.append([click(event_id="1")])
    own_valkey.stop()
    with pytest.raises(Unavailable):
        await ingest.append([click(event_id="2")])
    options = ("--appendonly", "yes", "--appendfsync", "always")
    again = start_valkey(own_valkey.directory, *options, port=own_valkey.port)
    try:
        await ingest.append([click(event_id="3")])
        with connect(again.url) as client:
            found = EventLog(client, keys).read(START, 100)
        assert [event.event_id for entry in found for event in entry.interactions] == ["1", "3"]
    finally:
        again.stop()


async def test_durability_is_what_the_server_does(
    own_client: redis.asyncio.Redis, keys: Keys
) -> None:
    async def said() -> str:
        return await make_ingest(own_client, keys).durability()

    assert await said() == "always"
    await own_client.config_set("appendfsync", "everysec")
    assert await said() == "everysec"
    await own_client.config_set("appendfsync", "no")
    assert await said() == "memory"
    await own_client.config_set("appendfsync", "always")
    await own_client.config_set("maxmemory", "1gb")
    await own_client.config_set("maxmemory-policy", "allkeys-lru")
    assert await said() == "memory", "what may be evicted is not durable"


async def test_durability_is_asked_now_and_then_only(
    own_client: redis.asyncio.Redis, keys: Keys
) -> None:
    ingest = make_ingest(own_client, keys)
    assert await ingest.durability() == "always"
    await own_client.config_set("appendonly", "no")
    assert await ingest.durability() == "always"


async def test_forgetting_is_at_once(ingest: Ingest, histories: HistoryStore) -> None:
    await ingest.append([click("u1"), click("u2")])
    assert await histories.forget("u1")
    assert not await histories.forget("u1")
    assert await histories.recent_many(["u1", "u2"], 9) == [[], [click("u2")]]


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
    redis_async: redis.asyncio.Redis, ingest: Ingest, keys: Keys
) -> None:
    now = [NOW_MS]
    popularity = PopularityStore(redis_async, keys, clock=lambda: now[0])
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
