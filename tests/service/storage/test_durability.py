"""What the log's server says that it keeps, and what is said meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import redis.asyncio

from service.errors import Unavailable
from service.storage.connections import connect_async
from service.storage.durability import Durability
from tests.conftest import ValkeyServer, free_port

pytestmark = pytest.mark.anyio


async def test_it_is_what_the_server_does(own_client: redis.asyncio.Redis) -> None:
    async def said() -> str:
        durability = Durability(own_client)
        await durability.look()
        return durability.word

    assert await said() == "always"
    await own_client.config_set("appendfsync", "everysec")
    assert await said() == "everysec"
    await own_client.config_set("appendfsync", "no")
    assert await said() == "memory"
    await own_client.config_set("appendfsync", "always")
    await own_client.config_set("maxmemory", "1gb")
    await own_client.config_set("maxmemory-policy", "allkeys-lru")
    assert await said() == "memory", "what may be evicted is not durable"


async def test_the_server_is_asked_now_and_then_only(own_client: redis.asyncio.Redis) -> None:
    durability = Durability(own_client)
    await asyncio.gather(durability.look(), durability.look())
    assert durability.word == "always"
    await own_client.config_set("appendonly", "no")
    await durability.look()
    assert durability.word == "always"


async def test_a_failure_keeps_the_last_word_and_is_asked_again(
    own_valkey: ValkeyServer, own_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    durability = Durability(own_client)
    await durability.look()
    await own_client.config_set("appendfsync", "everysec")
    monkeypatch.setattr("service.storage.durability._KEEP_S", 0.0)
    os.kill(own_valkey.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            await durability.look()
        assert durability.word == "always"
    finally:
        os.kill(own_valkey.process.pid, signal.SIGCONT)
    await durability.look()
    assert durability.word == "everysec"


async def test_before_the_first_answer_nothing_is_promised_and_every_look_asks(
    own_client: redis.asyncio.Redis,
) -> None:
    client = connect_async(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.3)
    durability = Durability(client)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await durability.look()
    assert durability.word == "memory"
    await client.aclose()


async def test_a_server_that_will_not_say_is_taken_for_memory(
    own_valkey: ValkeyServer, own_client: redis.asyncio.Redis
) -> None:
    await own_client.acl_setuser("quiet", enabled=True, nopass=True, commands=["+@all", "-config"])
    client = connect_async(f"redis://quiet:x@127.0.0.1:{own_valkey.port}/0", timeout_s=1.0)
    durability = Durability(client)
    await durability.look()
    assert durability.word == "memory"
    await client.aclose()
