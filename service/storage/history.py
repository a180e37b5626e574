"""Users' latest interactions, read at each request: the freshness of user state.

A sorted set per user. The member holds an event without its time, so that the same event sent
again changes nothing; the score is its time, with the order in its request in the fraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import redis.asyncio

from service.domain.interactions import Interaction
from service.storage.connections import answering
from service.storage.keys import Keys

_ORDERS = 1024

_Member = tuple[str, str, str, float | None]
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Member)


def score(time_ms: int, order: int) -> float:
    """Where an event stands in its user's history.

    Args:
        time_ms: below 2⁴².
        order: place in its request; beyond 1,023 places are shared. Ten bits fit beside the time.
    """
    return time_ms + min(order, _ORDERS - 1) / _ORDERS


def pack_member(event: Interaction) -> str:
    """The member of an event: JSON text, since the script's msgpack reads no binary strings."""
    return _encoder.encode((event.event_id, event.item_id, event.type, event.value)).decode()


class HistoryStore:
    """Reads and forgets histories; `Ingest` writes them."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def recent(self, user_id: str, limit: int) -> list[Interaction]:
        """The user's latest `limit` interactions, oldest first.

        Raises:
            Unavailable: the server does not answer.
        """
        return (await self.recent_many([user_id], limit))[0]

    async def recent_many(self, user_ids: Sequence[str], limit: int) -> list[list[Interaction]]:
        """`recent` of each user, in their order, in one round trip.

        Raises:
            Unavailable: the server does not answer.
        """
        if limit < 1 or not user_ids:
            return [[] for _ in user_ids]
        with answering("history"):
            async with self._client.pipeline(transaction=False) as pipe:
                for user_id in user_ids:
                    pipe.zrevrange(self._keys.history(user_id), 0, limit - 1, withscores=True)
                found = cast(list[list[tuple[bytes, float]]], await pipe.execute())
        return [_read(user_id, rows) for user_id, rows in zip(user_ids, found, strict=True)]

    async def forget(self, user_id: str) -> bool:
        """Drop the user's history at once; true when there was one."""
        with answering("history"):
            return bool(await self._client.delete(self._keys.history(user_id)))


def _read(user_id: str, rows: list[tuple[bytes, float]]) -> list[Interaction]:
    events = []
    for member, when in reversed(rows):
        event_id, item_id, event_type, value = _decoder.decode(member)
        events.append(Interaction(user_id, item_id, event_type, int(when), event_id, value))
    return events
