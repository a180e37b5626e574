"""What is known of a user, and the export of it."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from service.api import cursors
from service.api.access import CATALOG
from service.api.body import answer
from service.api.openapi import says
from service.api.parameters import Cursor, UserId
from service.api.schemas.fields import format_time
from service.api.schemas.users import EventPage, UserOut, event_out
from service.api.services import services_of
from service.errors import NotBuilt

router = APIRouter(tags=["users"])

PageLimit = Annotated[int, Query(ge=1, le=10_000, description="events in the page")]


@router.get(
    "/v1/users/{user_id}",
    dependencies=[Depends(CATALOG)],
    response_class=Response,
    responses=says(UserOut, 200),
)
async def get_user(request: Request, user_id: UserId) -> Response:
    """What answers see of a user; one whom nobody has named has no events, and is no error."""
    services = services_of(request)
    history = await services.history.recent(user_id, services.settings.log.history_size)
    return answer(
        {
            "user_id": user_id,
            "events": len(history),
            "first_event_at": format_time(history[0].time_ms) if history else None,
            "last_event_at": format_time(history[-1].time_ms) if history else None,
            "known_to_model": user_id in services.watcher.served.model.users,
        }
    )


@router.get(
    "/v1/users/{user_id}/events",
    dependencies=[Depends(CATALOG)],
    response_class=Response,
    responses=says(EventPage, 200),
)
async def get_user_events(
    request: Request, user_id: UserId, limit: PageLimit = 1_000, cursor: Cursor = None
) -> Response:
    """Export: every event of a user that the service holds, each once, by time."""
    services = services_of(request)
    last_sent = None if cursor is None else cursors.read(cursor, tuple[int, str])
    recent = await services.history.recent(user_id, services.settings.log.history_size)
    page, more = await to_thread.run_sync(services.export.page, user_id, recent, limit, last_sent)
    last = cursors.make(page[-1].time_ms, page[-1].event_id) if more else None
    return answer({"events": [event_out(event) for event in page], "next_cursor": last})


@router.delete(
    "/v1/users/{user_id}",
    dependencies=[Depends(CATALOG)],
    response_class=Response,
    responses=says(None, 501),
)
async def delete_user(request: Request, user_id: UserId) -> Response:
    """Erasure is not part of this release."""
    raise NotBuilt("erasing a user is not part of this release")
