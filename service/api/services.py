"""Everything a replica is made of, built once in the lifespan and handed to the routes."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict, cast

from anyio import to_thread
from fastapi import Request
from sqlalchemy import Engine

from models.mixing.blend import Blend
from service.api.drain import Drain
from service.api.keyring import KeyRing, is_public
from service.api.rates import Rates
from service.api.upkeep import Upkeep
from service.domain.weights import EventWeights
from service.errors import SettingsError, Unavailable
from service.logs import get_logger
from service.online import reported
from service.serving.catalogue_feed import CatalogueFeed
from service.serving.content import ContentFeed
from service.serving.content_vectoriser import make_vectoriser
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
from service.storage.hashing import user_key
from service.storage.history import HistoryStore
from service.storage.ingest import Ingest
from service.storage.jobs import Jobs
from service.storage.keys import Keys
from service.storage.memory import MemoryStore
from service.storage.online import OnlineStore
from service.storage.popularity import PopularityStore
from service.storage.presence import Presence
from service.storage.receipts import Receipts
from service.storage.registry import Registry
from service.storage.replay import ReplayBuffer
from service.telemetry import Metrics

_DATABASE_S = 1.0
_KEYS_REFRESH_S = 2.0
_BEAT_S = 2.0
_GAUGES_S = 5.0
_RECORD_S = 0.5
_DURABILITY_S = 2.0
"""How soon it is asked again after a failure; an answer is good for longer."""

log = get_logger("api")


class State(TypedDict):
    """What the lifespan yields."""

    services: Services


@dataclass(slots=True)
class Services:
    """The parts of one replica; routes take from here what they need."""

    settings: Settings
    replica_id: str
    metrics: Metrics
    drain: Drain
    keys: KeyRing
    rates: Rates
    weights: EventWeights
    ingest: Ingest
    durability: Durability
    history: HistoryStore
    popularity: PopularityStore
    presence: Presence
    event_log: EventLog
    replay: ReplayBuffer
    registry: Registry
    jobs: Jobs
    catalogue: CatalogueStore
    feed: CatalogueFeed
    content: ContentFeed
    lists: ListsFeed
    memory: MemoryFeed
    watcher: Watcher
    recommender: Recommender
    recorder: Recorder
    online: OnlineStore | None
    """None where no answer is kept."""
    export: Export
    secret: bytes | None = None
    """Keys the marks that stand for user ids in log lines; None until it could be read."""
    receipts: Receipts | None = None
    """Signs answers, by the same secret."""

    def key_of(self, user_id: str) -> int | None:
        """By which the fast memory knows a user; None until the secret could be read."""
        return None if self.secret is None else user_key(self.secret, user_id)


def services_of(request: Request) -> Services:
    """The services of the replica that answers `request`."""
    return cast(Services, request.state.services)


@asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics, drain: Drain
) -> AsyncIterator[Services]:
    """Build a replica, keep it up, and take it down.

    Raises:
        SettingsError: it cannot work as it is set up.
    """
    if settings.redis_url is None:
        raise SettingsError(
            "FRESHET_REDIS_URL: name the event log's server, or use `freshet serve`"
        )
    async with AsyncExitStack() as stack:
        timeout_s = settings.log.timeout_s
        client = connections.connect_async(settings.redis_url, timeout_s=timeout_s)
        stack.push_async_callback(client.aclose)
        waiting_client = connections.connect(settings.redis_url, timeout_s=timeout_s)
        stack.callback(waiting_client.close)
        engine = database.connect(database.database_url(settings), timeout_s=_DATABASE_S)
        stack.callback(engine.dispose)
        mixture = Mixture(lambda: services.memory.mirror, Blend.of(settings.serving.sources))
        ranker = Ranker(metrics, mixture, Explorer.of(settings))
        stack.push_async_callback(ranker.close)

        keys = Keys(settings.namespace)
        weights = EventWeights(settings.event_types, settings.positive_from)
        registry, catalogue = Registry(engine), CatalogueStore(engine)
        history = HistoryStore(client, keys)
        popularity = PopularityStore(waiting_client, keys)
        event_log = EventLog(waiting_client, keys)
        content = ContentFeed(settings.content, metrics, make_vectoriser(settings.content))
        feed = CatalogueFeed(catalogue.changes_since, content.apply)
        memory = MemoryFeed(
            MemoryStore(waiting_client, keys), settings.memory.config(), ranker.between
        )
        lists = ListsFeed(popularity, settings.serving)
        checkpoints = CheckpointStore(settings.data_dir / "checkpoints")
        serving = settings.serving
        watcher = Watcher(
            registry,
            checkpoints,
            metrics,
            poll_s=serving.poll_s,
            rows=serving.rows,
            content=content,
        )
        measured = settings.online.answers > 0
        online = OnlineStore(waiting_client, keys, settings.online) if measured else None
        services = Services(
            settings=settings,
            replica_id=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            metrics=metrics,
            drain=drain,
            keys=KeyRing(ApiKeys(engine).known, public=is_public(settings.host)),
            rates=Rates(settings.limits.requests_per_s),
            weights=weights,
            ingest=Ingest(client, keys, settings.log, weights),
            durability=Durability(client),
            history=history,
            popularity=popularity,
            presence=Presence(client, keys),
            event_log=event_log,
            replay=ReplayBuffer(
                waiting_client, keys, settings.learning.replay_size, settings.learning.replay_bytes
            ),
            registry=registry,
            jobs=Jobs(engine),
            catalogue=catalogue,
            feed=feed,
            content=content,
            lists=lists,
            memory=memory,
            watcher=watcher,
            recommender=Recommender(
                served=lambda: watcher.served.model,
                catalogue=feed,
                content=content,
                lists=lists,
                history=history,
                ranker=ranker,
                memory=memory,
                mixture=mixture,
                user_key=lambda user_id: services.key_of(user_id),
                positive=lambda event: weights.weight(event.type, event.value) > 0,
                settings=settings,
            ),
            recorder=Recorder(
                online,
                lambda: services.receipts,
                served=lambda: watcher.served.model,
                view=lambda: feed.view,
                metrics=metrics,
            ),
            online=online,
            export=Export(
                Archive(settings.data_dir / "archive"),
                event_log,
                past_ms=settings.log.retention_days * DAY_MS,
                future_ms=int(settings.limits.future_s * 1_000),
            ),
        )
        await _check_set_up(services, engine)
        upkeep = Upkeep(metrics)
        stack.push_async_callback(upkeep.close)
        stack.push_async_callback(to_thread.run_sync, watcher.close)
        await _keep_up(services, upkeep)
        upkeep.always("hints", "log", partial(follow_hints, client, keys, watcher.poke))
        yield services


async def read_online(services: Services) -> dict[str, Any] | None:
    """What became of the answers; None where none is kept.

    Raises:
        Unavailable: the log's server does not answer.
    """
    if services.online is None:
        return None
    return reported(await to_thread.run_sync(services.online.figures), services.settings.online)


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


async def _keep_up(services: Services, upkeep: Upkeep) -> None:
    settings, watcher = services.settings.serving, services.watcher

    async def keys() -> None:
        await to_thread.run_sync(services.keys.refresh)
        if services.secret is None:
            services.secret = await to_thread.run_sync(services.registry.secret)
            services.receipts = Receipts(services.secret)

    async def catalogue() -> None:
        await to_thread.run_sync(services.feed.poll)
        services.metrics.catalogue_revision.set(services.feed.view.revision)
        if services.content.due:
            watcher.poke()

    async def beat() -> None:
        served = watcher.served
        await services.presence.beat(
            services.replica_id,
            served.model.version,
            served.generation,
            served.since_ms,
            served.error,
        )

    async def gauges() -> None:
        head = watcher.served.head
        metrics = services.metrics
        metrics.log_entries.set(await to_thread.run_sync(services.event_log.length))
        if head is not None:
            lag = await to_thread.run_sync(services.event_log.events_after, head.position)
            metrics.log_lag_events.set(lag)
        metrics.replay_bytes.set(await to_thread.run_sync(services.replay.size_bytes))
        metrics.show_learner(await services.presence.learner())
        metrics.online.show(await read_online(services))
        metrics.show_memory(await services.presence.memory(), services.memory.age_s())

    await upkeep.every(_KEYS_REFRESH_S, "keys", "database", keys)
    await upkeep.every(_DURABILITY_S, "durability", "log", services.durability.look)
    await upkeep.every(settings.catalogue_poll_s, "catalogue", "database", catalogue)
    await upkeep.every(services.settings.memory.poll_s, "memory", "log", services.memory.follow)
    await upkeep.every(settings.lists_refresh_s, "lists", "log", services.lists.refresh)
    try:
        await to_thread.run_sync(watcher.look)
    except Unavailable:
        log.warning("starting without the registry's head")
    watcher.start()
    await upkeep.every(_BEAT_S, "presence", "log", beat)
    await upkeep.every(_GAUGES_S, "gauges", "log", gauges)
    await upkeep.every(_RECORD_S, "recorder", "log", services.recorder.write)
