"""Connections to Redis: with a deadline, and without a second try behind the caller's back.

redis-py retries ten times by default. An append that timed out may have landed, and each silent
retry may land again, so no call made through these clients is repeated by the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
import redis.asyncio
import sqlalchemy.exc
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.errors import Unavailable

AWAY = (
    Unavailable,
    redis.RedisError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    OSError,
)
"""What a store raises, the registry's database included, that is not there just now."""


def connect(url: str, *, timeout_s: float = 5.0) -> redis.Redis:
    """A client for threads and processes that may wait, such as the learner."""
    client: redis.Redis = redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    return client


def connect_async(
    url: str, *, timeout_s: float = 0.5, max_connections: int = 256
) -> redis.asyncio.Redis:
    """A client for the event loop.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
        timeout_s: deadline of one call, connecting included.
        max_connections: above it a call waits for a free connection, at most the same time.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Turn any failure of Redis inside the block into `Unavailable`.

    Args:
        what: what was asked for, as the subject of the message.
    """
    try:
        yield
    except (redis.RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"{what}: the event log's server does not answer") from error
