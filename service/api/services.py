"""The parts of one replica, as its routes see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, cast

from anyio import to_thread
from fastapi import Request

from service.api.drain import Drain
from service.api.keyring import KeyRing
from service.api.rates import Rates
from service.api.secret import Secret
from service.domain.weights import EventWeights
from service.online import reported
from service.serving.catalogue_feed import CatalogueFeed
from service.serving.content import ContentFeed
from service.serving.export import Export
from service.serving.lists import ListsFeed
from service.serving.memory_feed import MemoryFeed
from service.serving.recommender import Recommender
from service.serving.recorder import Recorder
from service.serving.watcher import Watcher
from service.settings import Settings
from service.storage.catalogue import CatalogueStore
from service.storage.durability import Durability
from service.storage.event_log import EventLog
from service.storage.history import HistoryStore
from service.storage.ingest import Ingest
from service.storage.jobs import Jobs
from service.storage.online import OnlineStore
from service.storage.popularity import PopularityStore
from service.storage.presence import Presence
from service.storage.registry import Registry
from service.storage.replay import ReplayBuffer
from service.telemetry import Metrics


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
    secret: Secret
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


def services_of(request: Request) -> Services:
    """The services of the replica that answers `request`."""
    return cast(Services, request.state.services)


async def read_online(services: Services) -> dict[str, Any] | None:
    """What became of the answers; None where none is kept.

    Raises:
        Unavailable: the log's server does not answer.
    """
    if services.online is None:
        return None
    return reported(await to_thread.run_sync(services.online.figures), services.settings.online)
