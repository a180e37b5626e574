"""What is known of a user."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from service.api.schemas.fields import Shape, format_time
from service.domain.interactions import Interaction


class UserOut(Shape):
    """A user's history as answers see it. A user nobody has named has none; that is no error."""

    user_id: str
    events: int = Field(
        description="in the history that is kept: the last `FRESHET_LOG__HISTORY_SIZE`, at most"
    )
    first_event_at: str | None = Field(
        description="of the history that is kept; earlier ones may be in the export"
    )
    last_event_at: str | None
    known_to_model: bool


class ExportedEvent(Shape):
    """One event of a user, as it was accepted."""

    user_id: str
    item_id: str
    type: str
    value: float | None
    timestamp: str
    event_id: str
    recommendation_id: str | None


class EventPage(Shape):
    """A user's events, oldest first, each once; `next_cursor` is null at the end."""

    events: list[ExportedEvent]
    next_cursor: str | None


def event_out(event: Interaction) -> dict[str, Any]:
    """An event as JSON values."""
    return {
        "user_id": event.user_id,
        "item_id": event.item_id,
        "type": event.type,
        "value": event.value,
        "timestamp": format_time(event.time_ms),
        "event_id": event.event_id,
        "recommendation_id": event.recommendation_id,
    }
