"""`POST /v1/events`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.api.schemas.fields import Identifier, NewItemId, NewUserId, Shape, parse_time
from service.domain.interactions import Interaction


@dataclass(frozen=True, slots=True)
class EventRules:
    """What an event is measured by at one moment.

    Args:
        types: the configured event types.
        now_ms: time of arrival.
        earliest_ms, latest_ms: where a timestamp may lie.
    """

    types: Mapping[str, float]
    now_ms: int
    earliest_ms: int
    latest_ms: int


def _known_type(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str) and isinstance(info.context, EventRules):
        if value not in info.context.types:
            raise PydanticCustomError("event_type", "must be one of the configured event types")
    return value


def _near_time(value: Any, info: ValidationInfo) -> int:
    time_ms = parse_time(value)
    rules = info.context
    if isinstance(rules, EventRules):
        if time_ms > rules.latest_ms:
            raise PydanticCustomError("time_ahead", "lies too far ahead")
        if time_ms < rules.earliest_ms:
            raise PydanticCustomError("time_behind", "lies further back than the retention window")
    return time_ms


EventTime = Annotated[
    int,
    BeforeValidator(_near_time),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]
EventType = Annotated[str, BeforeValidator(_known_type), Field(min_length=1, max_length=64)]


class EventIn(Shape):
    """One interaction."""

    user_id: NewUserId
    item_id: NewItemId
    type: EventType = "click"
    value: float | None = Field(
        None, allow_inf_nan=False, description="a rating, seconds watched, a price"
    )
    timestamp: EventTime | None = Field(None, description="default: the time of arrival")
    event_id: Identifier | None = Field(
        None, description="idempotency key; without one a retry counts twice"
    )
    recommendation_id: Identifier | None = Field(
        None, description="the answer that showed the item"
    )

    def interaction(self, now_ms: int) -> Interaction:
        """The event with every default filled in."""
        return Interaction(
            user_id=self.user_id,
            item_id=self.item_id,
            type=self.type,
            time_ms=now_ms if self.timestamp is None else self.timestamp,
            event_id=self.event_id or uuid.uuid4().hex,
            value=self.value,
            recommendation_id=self.recommendation_id,
        )


class EventsIn(Shape):
    """A batch: all of it is accepted, or none."""

    events: list[EventIn] = Field(min_length=1)


class EventsAccepted(Shape):
    """The events are in the log, as durable as it says."""

    accepted: int
    durability: str = Field(description="always, everysec or memory")
    position: str


EVENTS_IN = TypeAdapter(EventsIn)
