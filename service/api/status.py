"""The state of everything, as far as this replica can see it."""

from __future__ import annotations

from typing import Any, TypeVar

from anyio import to_thread

from service.api.schemas.fields import Shape, format_time
from service.api.services import Services, read_online
from service.errors import Unavailable

T = TypeVar("T")


class LogStatus(Shape):
    """The event log."""

    up: bool
    entries: int | None
    events: int | None
    last: str | None
    lag_events: int | None
    dead_letters: int | None
    durability: str
    dedupe_ids: int | None
    dedupe_since: str | None


class BufferStatus(Shape):
    """The replay buffer: what it may hold, what it holds, and the memory that it takes."""

    samples: int | None
    capacity: int
    stored_bytes: int | None
    capacity_bytes: int | None
    fill: float | None
    bytes: int | None


class HeadStatus(Shape):
    """What the registry says is served, and how far learning has come."""

    active: int
    tip: int
    generation: int
    position: str
    learned_until: str | None
    pinned: bool


class ReplicaStatus(Shape):
    """What one api replica says it serves."""

    replica_id: str
    model_version: int
    generation: int
    since: str
    error: str | None


class SourceFigures(Shape):
    """What became of the items that one source gave; rates are shares of the impressions."""

    shown: int
    impressions: int
    positive: int
    conversions: int
    skips: int
    click_through: float | None
    conversion: float | None
    coverage: float | None
    novelty_bits: float | None


class OnlineFigures(SourceFigures):
    """What became of answers, in counts of answers and items; rates are shares of the answers."""

    answers: int
    clicked: int
    converted: int
    sources: dict[str, SourceFigures]


class VersionFigures(OnlineFigures):
    """The same of one version's answers."""

    version: int


class OnlineStatus(Shape):
    """Answers kept to be joined with events, and what became of them."""

    kept: int
    capacity: int
    bytes: int
    events: dict[str, int]
    total: OnlineFigures
    versions: list[VersionFigures]


class MirrorStatus(Shape):
    """This replica's mirror of the fast memory."""

    items: int
    commit: int
    loads: int
    age_s: float | None


class Status(Shape):
    """Where the log, the learner, the memory and each replica are; null is what nobody knows."""

    replica_id: str
    event_log: LogStatus
    buffer: BufferStatus
    head: HeadStatus | None
    replicas: list[ReplicaStatus]
    learner: dict[str, Any] | None
    memory: dict[str, Any] | None
    mirror: MirrorStatus
    last_update: str | None
    next_update: str | None
    catalogue_revision: int
    online: OnlineStatus | None


async def read_status(services: Services) -> dict[str, Any]:
    """`Status` as JSON values."""
    learner = await _learner(services)
    head = services.watcher.served.head
    try:
        head = await to_thread.run_sync(services.registry.head)
        latest = await to_thread.run_sync(services.registry.versions, 1)
    except Unavailable:
        latest = []
    learned_ms = None if head is None or not head.position.ms else head.position.ms
    return {
        "replica_id": services.replica_id,
        "event_log": await _event_log(services, learner),
        "buffer": await _buffer(services),
        "head": None
        if head is None
        else {
            "active": head.active,
            "tip": head.tip,
            "generation": head.generation,
            "position": str(head.position),
            "learned_until": format_time(learned_ms),
            "pinned": head.pinned,
        },
        "replicas": await _replicas(services),
        "learner": learner,
        "memory": await _memory(services),
        "mirror": _mirror(services),
        "last_update": format_time(latest[0].created_ms) if latest else None,
        "next_update": format_time((learner or {}).get("next_update_ms")),
        "catalogue_revision": services.feed.view.revision,
        "online": await _online(services),
    }


async def _online(services: Services) -> dict[str, Any] | None:
    try:
        return await read_online(services)
    except Unavailable:
        return None


async def _learner(services: Services) -> dict[str, Any] | None:
    try:
        return await services.presence.learner()
    except Unavailable:
        return None


async def _memory(services: Services) -> dict[str, Any] | None:
    try:
        return await services.presence.memory()
    except Unavailable:
        return None


def _mirror(services: Services) -> dict[str, Any]:
    feed = services.memory
    age_s = feed.age_s()
    return {
        "items": len(feed.items),
        "commit": feed.commit,
        "loads": feed.loads,
        "age_s": None if age_s is None else round(age_s, 3),
    }


async def _event_log(services: Services, learner: dict[str, Any] | None) -> dict[str, Any]:
    event_log, head = services.event_log, services.watcher.served.head
    seen: dict[str, Any] = dict.fromkeys(
        ("entries", "events", "last", "lag_events", "dead_letters")
    )
    try:
        seen["entries"] = await to_thread.run_sync(event_log.length)
        seen["events"] = await to_thread.run_sync(event_log.total)
        seen["last"] = str(await to_thread.run_sync(event_log.last))
        seen["dead_letters"] = await to_thread.run_sync(event_log.dead_letters)
        if head is not None:
            seen["lag_events"] = await to_thread.run_sync(event_log.events_after, head.position)
    except Unavailable:
        pass
    said = learner or {}
    return {
        "up": seen["entries"] is not None,
        **seen,
        "durability": services.durability.word,
        "dedupe_ids": said.get("dedupe_ids"),
        "dedupe_since": format_time(said.get("dedupe_from_ms")),
    }


async def _buffer(services: Services) -> dict[str, Any]:
    """Samples and their bytes beside what is kept of them at most, and the memory it all takes."""
    buffer = services.replay
    bounds = {"capacity": buffer.size, "capacity_bytes": buffer.max_bytes or None}
    try:
        samples = await to_thread.run_sync(len, buffer)
        stored = await to_thread.run_sync(buffer.stored_bytes)
        memory = await to_thread.run_sync(buffer.size_bytes)
    except Unavailable:
        nothing = dict.fromkeys(("samples", "stored_bytes", "fill", "bytes"))
        return bounds | nothing
    shares = [samples / buffer.size] if buffer.size else [0.0]
    if buffer.max_bytes:
        shares.append(stored / buffer.max_bytes)
    found = {"samples": samples, "stored_bytes": stored, "bytes": memory}
    return bounds | found | {"fill": round(max(shares), 4)}


async def _replicas(services: Services) -> list[dict[str, Any]]:
    try:
        found = await services.presence.all()
    except Unavailable:
        return []
    return [
        {
            "replica_id": one.replica_id,
            "model_version": one.version,
            "generation": one.generation,
            "since": format_time(one.since_ms),
            "error": one.error,
        }
        for one in found
    ]
