"""Ingest when the server does not play along: honest words, and nothing half done."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import redis
import redis.asyncio

from service.domain.interactions import START
from service.errors import Backpressure, OutcomeUnknown, Unavailable
from service.storage.connections import connect, connect_async
from service.storage.event_log import EventLog
from service.storage.history import HistoryStore
from service.storage.keys import Keys
from tests.conftest import ValkeyServer, free_port, start_valkey
from tests.service.storage.conftest import make_ingest
from tests.service.storage.events import click

pytestmark = pytest.mark.anyio


async def test_refused_is_backpressure(keys: Keys) -> None:
    client = connect_async(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.3)
    with pytest.raises(Backpressure):
        await make_ingest(client, keys).append([click()])
    with pytest.raises(Unavailable):
        await HistoryStore(client, keys).recent("u1", 1)
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
