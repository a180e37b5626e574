"""Events in."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from service.api.access import RECOMMEND
from service.api.body import answer, read_json
from service.api.limits import check_batch
from service.api.openapi import body_of, says
from service.api.schemas.events import EVENTS_IN, EventRules, EventsAccepted, EventsIn
from service.api.services import services_of
from service.domain.interactions import MAX_TIME_MS
from service.errors import Backpressure, OutcomeUnknown
from service.settings import Settings
from service.storage.clock import DAY_MS, now_ms

router = APIRouter(tags=["events"])


@router.post(
    "/v1/events",
    status_code=202,
    dependencies=[Depends(RECOMMEND)],
    openapi_extra=body_of(EventsIn),
    responses=says(EventsAccepted, 202, 413, 415, 422, 503),
)
async def post_events(request: Request) -> Response:
    """Take a batch of events in: all of it, or none.

    The answer comes once the event log has taken them, as durably as `durability` says; the user's
    next recommendation request already sees them.
    """
    services = services_of(request)
    settings, now = services.settings, now_ms()
    batch = await read_json(
        request,
        EVENTS_IN,
        max_bytes=settings.limits.max_body_bytes,
        context=event_rules(settings, now),
    )
    check_batch(len(batch.events), "events", settings.limits)
    try:
        position = await services.ingest.append([event.interaction(now) for event in batch.events])
    except (Backpressure, OutcomeUnknown) as error:
        reason = "backpressure" if isinstance(error, Backpressure) else "outcome-unknown"
        services.metrics.events_refused.labels(reason).inc()
        raise
    services.lists.tell(event.item_id for event in batch.events)
    services.metrics.events_accepted.inc(len(batch.events))
    said = {
        "accepted": len(batch.events),
        "durability": services.durability.word,
        "position": str(position),
    }
    return answer(said, 202)


def event_rules(settings: Settings, now: int) -> EventRules:
    """What events that arrive at `now` (Unix milliseconds) are measured by."""
    return EventRules(
        types=settings.event_types,
        now_ms=now,
        earliest_ms=max(now - settings.log.retention_days * DAY_MS, 0),
        latest_ms=min(now + int(settings.limits.future_s * 1000), MAX_TIME_MS - 1),
    )
