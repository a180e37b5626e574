"""Ingest and its readers in a clean namespace; the registry on a clean database of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
import redis.asyncio
from sqlalchemy import Engine

from service.domain.weights import EventWeights
from service.sections import LogSettings
from service.storage.connections import connect_async
from service.storage.event_log import EventLog
from service.storage.history import HistoryStore
from service.storage.ingest import Ingest
from service.storage.keys import Keys
from service.storage.popularity import PopularityStore
from service.storage.registry import Registry
from tests.conftest import ValkeyServer
from tests.service.storage.events import NOW_MS

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
def popularity(redis_client: redis.Redis, keys: Keys) -> PopularityStore:
    return PopularityStore(redis_client, keys, clock=lambda: NOW_MS)


@pytest.fixture
async def own_client(own_valkey: ValkeyServer) -> AsyncIterator[redis.asyncio.Redis]:
    client = connect_async(own_valkey.url, timeout_s=0.3)
    yield client
    await client.aclose()


@pytest.fixture
def registry(engine: Engine) -> Registry:
    return Registry(engine)
