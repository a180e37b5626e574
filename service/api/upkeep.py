"""What a replica reads again and again, and what it says of itself."""

from __future__ import annotations

from anyio import to_thread

from service.api.recurring import Recurring
from service.api.services import Services, read_online
from service.errors import Unavailable
from service.logs import get_logger

_KEYS_REFRESH_S = 2.0
_BEAT_S = 2.0
_GAUGES_S = 5.0
_RECORD_S = 0.5
_DURABILITY_S = 2.0
"""How soon it is asked again after a failure; an answer is good for longer."""

log = get_logger("api")


async def keep_up(services: Services, recurring: Recurring) -> None:
    """Let all that ages follow its store, from now on, each at its own pace."""
    settings, watcher = services.settings.serving, services.watcher

    async def keys() -> None:
        await to_thread.run_sync(services.keys.refresh)
        await to_thread.run_sync(services.secret.learn)

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

    await recurring.every(_KEYS_REFRESH_S, "keys", "database", keys)
    await recurring.every(_DURABILITY_S, "durability", "log", services.durability.look)
    await recurring.every(settings.catalogue_poll_s, "catalogue", "database", catalogue)
    await recurring.every(services.settings.memory.poll_s, "memory", "log", services.memory.follow)
    await recurring.every(settings.lists_refresh_s, "lists", "log", services.lists.refresh)
    try:
        await to_thread.run_sync(watcher.look)
    except Unavailable:
        log.warning("starting without the registry's head")
    watcher.start()
    await recurring.every(_BEAT_S, "presence", "log", beat)
    await recurring.every(_GAUGES_S, "gauges", "log", gauges)
    await recurring.every(_RECORD_S, "recorder", "log", services.recorder.write)
