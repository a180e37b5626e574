"""Heartbeats: there while they beat, gone by themselves."""

from __future__ import annotations

import asyncio

import pytest
import redis
import redis.asyncio

from service.storage.heartbeat import Heartbeat
from service.storage.keys import Keys
from service.storage.presence import Presence, ReplicaState, hint

pytestmark = pytest.mark.anyio


async def test_replicas_show_and_vanish(
    redis_async: redis.asyncio.Redis, redis_client: redis.Redis, keys: Keys
) -> None:
    brief = Presence(redis_async, keys, life_ms=60)
    lasting = Presence(redis_async, keys)
    await brief.beat("b", 3, 7, 1_000)
    await lasting.beat("a", 2, 6, 900, error="cannot load 3")
    assert await lasting.all() == [
        ReplicaState("a", 2, 6, 900, "cannot load 3"),
        ReplicaState("b", 3, 7, 1_000),
    ]
    await asyncio.sleep(0.1)
    assert [one.replica_id for one in await lasting.all()] == ["a"]
    assert redis_client.smembers(keys.replicas) == {b"a"}


async def test_the_learner_shows_and_vanishes(
    redis_async: redis.asyncio.Redis, redis_client: redis.Redis, keys: Keys
) -> None:
    presence = Presence(redis_async, keys)
    assert await presence.learner() is None
    heartbeat = Heartbeat(redis_client, keys.learner, "learner_id", life_ms=60)
    heartbeat.say(state="training", window=3)
    heartbeat.beat()
    said = await presence.learner()
    assert said is not None
    assert said.keys() == {"learner_id", "state", "window"}
    assert (said["state"], said["window"]) == ("training", 3)
    await asyncio.sleep(0.1)
    assert await presence.learner() is None


async def test_a_hint_reaches_who_listens(
    redis_async: redis.asyncio.Redis, redis_client: redis.Redis, keys: Keys
) -> None:
    async with redis_async.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(keys.head_channel)
        await channel.get_message(timeout=2.0)
        hint(redis_client, keys, 8)
        message = await channel.get_message(timeout=2.0)
    assert message is not None
    assert message["data"] == b"8"
