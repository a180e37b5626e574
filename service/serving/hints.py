"""Hears that the head has moved, so that a replica follows in milliseconds instead of a poll.

A hint may be lost; the poll finds whatever no hint told of.
"""

from __future__ import annotations

from collections.abc import Callable

import redis.asyncio

from service.storage.connections import answering
from service.storage.keys import Keys

_WAIT_S = 2.0


async def follow_hints(client: redis.asyncio.Redis, keys: Keys, heard: Callable[[], None]) -> None:
    """Call `heard` at each hint, until cancelled.

    Raises:
        Unavailable: the server does not answer.
    """
    with answering("hints"):
        async with client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(keys.head_channel)
            while True:
                if await channel.get_message(timeout=_WAIT_S) is not None:
                    heard()
