"""What an answered append survives, as the log's server is set up."""

from __future__ import annotations

import time
from typing import cast

import redis.asyncio
from redis.exceptions import ResponseError

from service.storage.connections import answering

_KEEP_S = 30.0


class Durability:
    """The last known word, which `look` renews beside the requests and no request waits for.

    Args:
        client: of the event loop.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._word = "memory"
        self._heard_s = float("-inf")

    @property
    def word(self) -> str:
        """`always`, `everysec` or `memory`.

        A server that may evict keys, does not append to a file, does not say, or has not been
        asked yet is taken for `memory`, for no more can be promised.
        """
        return self._word

    async def look(self) -> None:
        """Ask the server, if what it last said is 30 s old; call it every few seconds.

        Raises:
            Unavailable: the server does not answer. The word stays, and the next call asks again.
        """
        if time.monotonic() - self._heard_s < _KEEP_S:
            return
        with answering("durability"):
            self._word = await self._ask()
        self._heard_s = time.monotonic()

    async def _ask(self) -> str:
        try:
            found = cast(
                dict[str | bytes, str | bytes],
                await self._client.config_get("appendonly", "appendfsync", "maxmemory*"),
            )
        except ResponseError:  # it will not say
            return "memory"
        text = {_text(name): _text(value) for name, value in found.items()}
        evicts = text.get("maxmemory") != "0" and text.get("maxmemory-policy") != "noeviction"
        policy = text.get("appendfsync")
        if text.get("appendonly") != "yes" or evicts or policy not in ("always", "everysec"):
            return "memory"
        return policy


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
