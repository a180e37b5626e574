"""Settings of the event log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.sections.section import Section


class LogSettings(Section):
    """The event log, its durability and the histories beside it."""

    fsync: Literal["always", "everysec"] = Field(
        "always", description="AOF policy of the embedded server"
    )
    max_entries: int = Field(
        1_000_000,
        ge=1,
        description="above so many unlearned entries events get 503 backpressure; an entry is one"
        " request of up to `FRESHET_LIMITS__MAX_BATCH` events",
    )
    history_size: int = Field(200, ge=1, le=10_000, description="interactions kept per user")
    history_days: int = Field(
        365,
        ge=1,
        le=3_650,
        description="days after a user's last event that the history is kept, at most 3650",
    )
    named_items: int = Field(
        1_000_000,
        ge=1_000,
        description="items that events have named, remembered with when they first did, some 0.2 kB"
        " each on the log's server; of more, those named longest ago are forgotten",
    )
    retention_days: int = Field(
        7,
        ge=1,
        le=3_650,
        description="how far back an event's timestamp may lie; also the repeat window;"
        " at most 3650 days",
    )
    dedupe_max_ids: int = Field(
        2_000_000, ge=1, description="event ids remembered against repeats, at most"
    )
    import_days: int = Field(
        365,
        ge=1,
        le=3_650,
        description="days after which it is forgotten how far `freshet import events` came with a"
        " file; until then a file that is in is refused; at most 3650",
    )
    timeout_s: float = Field(0.5, gt=0, description="deadline of one call on the serving path")
