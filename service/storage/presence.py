"""Who is alive, by heartbeats in Redis that vanish by themselves; and a hint to those who are."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import redis
import redis.asyncio

from service.storage.connections import answering
from service.storage.keys import Keys

LIFE_MS = 10_000


class ReplicaState(msgspec.Struct, frozen=True):
    """What one api replica says about itself."""

    replica_id: str
    version: int
    """The version it serves."""
    generation: int
    """The head's generation that it has followed."""
    since_ms: int
    """When it took the version."""
    error: str | None = None
    """Why it does not serve the active version, if it does not."""


class Presence:
    """Replicas' heartbeats."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, *, life_ms: int = LIFE_MS) -> None:
        self._client = client
        self._keys = keys
        self._life_ms = life_ms

    async def beat(
        self,
        replica_id: str,
        version: int,
        generation: int,
        since_ms: int,
        error: str | None = None,
    ) -> None:
        """Say that this replica lives; said again before the life is over, or forgotten."""
        state = ReplicaState(replica_id, version, generation, since_ms, error)
        with answering("presence"):
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.set(
                    self._keys.replica(replica_id), msgspec.json.encode(state), px=self._life_ms
                )
                pipe.sadd(self._keys.replicas, replica_id)
                await pipe.execute()

    async def all(self) -> list[ReplicaState]:
        """Replicas alive, by id."""
        with answering("presence"):
            ids = sorted(cast(set[bytes], await self._client.smembers(self._keys.replicas)))
            if not ids:
                return []
            found = await self._client.mget([self._keys.replica(one.decode()) for one in ids])
            gone = [one for one, state in zip(ids, found, strict=True) if state is None]
            if gone:
                await self._client.srem(self._keys.replicas, *gone)
        return [msgspec.json.decode(one, type=ReplicaState) for one in found if one is not None]

    async def learner(self) -> dict[str, Any] | None:
        """What the learner last said, None when none lives."""
        return await self._said(self._keys.learner)

    async def memory(self) -> dict[str, Any] | None:
        """What the process of the fast memory last said, None when none lives."""
        return await self._said(self._keys.memory_keeper)

    async def _said(self, key: str) -> dict[str, Any] | None:
        with answering("presence"):
            found = await self._client.get(key)
        return None if found is None else cast(dict[str, Any], msgspec.json.decode(found))


def hint(client: redis.Redis, keys: Keys, generation: int) -> None:
    """Tell replicas that the head has moved; those that miss it see it at their next poll.

    Raises:
        Unavailable: the server does not answer.
    """
    with answering("presence"):
        client.publish(keys.head_channel, generation)
