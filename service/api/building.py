"""A replica, built once in the lifespan: connections, then parts, then what keeps them up."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import redis
import redis.asyncio
from anyio import to_thread
from sqlalchemy import Engine

from models.content.texts import Shelf
from models.mixing.blend import Blend
from service.api.drain import Drain
from service.api.keyring import KeyRing, is_public
from service.api.rates import Rates
from service.api.recurring import Recurring
from service.api.secret import Secret
from service.api.services import Services
from service.api.upkeep import keep_up
from service.domain.weights import EventWeights
from service.errors import SettingsError, Unavailable
from service.logs import get_logger
from service.serving.catalogue_feed import CatalogueFeed
from service.serving.content import ContentFeed
from service.serving.exploring import Explorer
from service.serving.export import Export
from service.serving.hints import follow_hints
from service.serving.lists import ListsFeed
from service.serving.memory_feed import MemoryFeed
from service.serving.mixture import Mixture
from service.serving.ranker import Ranker
from service.serving.recommender import Recommender
from service.serving.recorder import Recorder
from service.serving.watcher import Watcher
from service.settings import Settings
from service.storage import connections, database
from service.storage.api_keys import ApiKeys
from service.storage.archive import Archive
from service.storage.catalogue import CatalogueStore
from service.storage.checkpoints import CheckpointStore
from service.storage.clock import DAY_MS
from service.storage.durability import Durability
from service.storage.event_log import EventLog
from service.storage.history import HistoryStore
from service.storage.ingest import Ingest
from service.storage.jobs import Jobs
from service.storage.keys import Keys
from service.storage.memory import MemoryStore
from service.storage.online import OnlineStore
from service.storage.popularity import PopularityStore
from service.storage.presence import Presence
from service.storage.registry import Registry
from service.storage.replay import ReplayBuffer
from service.telemetry import Metrics
from service.vectoriser import make_vectoriser

_DATABASE_S = 1.0

log = get_logger("api")


@dataclass(frozen=True, slots=True)
class _Links:
    """Connections of one replica: for the event loop, for threads, and to the database."""

    client: redis.asyncio.Redis
    waiting: redis.Redis
    engine: Engine


@dataclass(frozen=True, slots=True)
class _Ranking:
    """What ranks, what only the ranking thread may touch, and the texts that it ranks by."""

    mixture: Mixture
    ranker: Ranker
    memory: MemoryFeed
    content: ContentFeed


@asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics, drain: Drain
) -> AsyncIterator[Services]:
    """Build a replica, keep it up, and take it down.

    Raises:
        SettingsError: it cannot work as it is set up.
    """
    async with AsyncExitStack() as stack:
        links = _connect(settings, stack)
        ranking = _rank(settings, metrics, links)
        stack.push_async_callback(ranking.ranker.close)
        services = _assemble(settings, metrics, drain, links, ranking)
        await _check_set_up(services, links.engine)
        recurring = Recurring(metrics)
        stack.push_async_callback(recurring.close)
        stack.push_async_callback(to_thread.run_sync, services.watcher.close)
        await keep_up(services, recurring)
        hints = partial(follow_hints, links.client, Keys(settings.namespace), services.watcher.poke)
        recurring.always("hints", "log", hints)
        yield services


def _connect(settings: Settings, stack: AsyncExitStack) -> _Links:
    if settings.redis_url is None:
        raise SettingsError(
            "FRESHET_REDIS_URL: name the event log's server, or use `freshet serve`"
        )
    timeout_s = settings.log.timeout_s
    client = connections.connect_async(settings.redis_url, timeout_s=timeout_s)
    stack.push_async_callback(client.aclose)
    waiting = connections.connect(settings.redis_url, timeout_s=timeout_s)
    stack.callback(waiting.close)
    engine = database.connect(database.database_url(settings), timeout_s=_DATABASE_S)
    stack.callback(engine.dispose)
    return _Links(client, waiting, engine)


def _rank(settings: Settings, metrics: Metrics, links: _Links) -> _Ranking:
    """The ranking thread, the memory whose rows it alone may write, and what items say."""
    content = ContentFeed(settings.content, metrics, make_vectoriser(settings.content))
    shelf = Shelf(lambda: content.index, settings.content.few_events)
    mixture = Mixture(lambda: memory.mirror, Blend.of(settings.serving.sources), shelf)
    ranker = Ranker(metrics, mixture, Explorer.of(settings))
    store = MemoryStore(links.waiting, Keys(settings.namespace))
    memory = MemoryFeed(store, settings.memory.config(), ranker.between)
    return _Ranking(mixture, ranker, memory, content)


def _assemble(
    settings: Settings, metrics: Metrics, drain: Drain, links: _Links, ranking: _Ranking
) -> Services:
    keys, learning, serving = Keys(settings.namespace), settings.learning, settings.serving
    weights = EventWeights(settings.event_types, settings.positive_from)
    registry, catalogue = Registry(links.engine), CatalogueStore(links.engine)
    secret = Secret(registry)
    history = HistoryStore(links.client, keys)
    popularity = PopularityStore(links.waiting, keys)
    event_log = EventLog(links.waiting, keys)
    content = ranking.content
    feed = CatalogueFeed(catalogue.changes_since, content.apply)
    lists = ListsFeed(popularity, serving)
    watcher = Watcher(
        registry,
        CheckpointStore(settings.data_dir / "checkpoints"),
        metrics,
        poll_s=serving.poll_s,
        rows=serving.rows,
        content=content,
    )
    measured = settings.online.answers > 0
    online = OnlineStore(links.waiting, keys, settings.online) if measured else None
    recommender = Recommender(
        served=lambda: watcher.served.model,
        catalogue=feed,
        content=content,
        lists=lists,
        history=history,
        ranker=ranking.ranker,
        memory=ranking.memory,
        mixture=ranking.mixture,
        user_key=secret.key_of,
        positive=lambda event: weights.weight(event.type, event.value) > 0,
        settings=settings,
    )
    recorder = Recorder(
        online,
        lambda: secret.receipts,
        served=lambda: watcher.served.model,
        view=lambda: feed.view,
        metrics=metrics,
    )
    export = Export(
        Archive(settings.data_dir / "archive"),
        event_log,
        past_ms=settings.log.retention_days * DAY_MS,
        future_ms=int(settings.limits.future_s * 1_000),
    )
    return Services(
        settings=settings,
        replica_id=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
        metrics=metrics,
        drain=drain,
        keys=KeyRing(ApiKeys(links.engine).known, public=is_public(settings.host)),
        rates=Rates(settings.limits.requests_per_s),
        weights=weights,
        ingest=Ingest(links.client, keys, settings.log, weights),
        durability=Durability(links.client),
        history=history,
        popularity=popularity,
        presence=Presence(links.client, keys),
        event_log=event_log,
        replay=ReplayBuffer(links.waiting, keys, learning.replay_size, learning.replay_bytes),
        registry=registry,
        secret=secret,
        jobs=Jobs(links.engine),
        catalogue=catalogue,
        feed=feed,
        content=content,
        lists=lists,
        memory=ranking.memory,
        watcher=watcher,
        recommender=recommender,
        recorder=recorder,
        online=online,
        export=export,
    )


async def _check_set_up(services: Services, engine: Engine) -> None:
    """What cannot work is refused at start; a database that is down is waited for."""
    try:
        await to_thread.run_sync(database.check_revision, engine)
        await to_thread.run_sync(services.keys.refresh)
    except Unavailable as error:
        log.warning("starting without the database", error=str(error))
    services.keys.check_start()
    if services.keys.off:
        log.warning("auth is off: no key has been made and the address is loopback")
