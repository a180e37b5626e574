"""Settings of what is measured of answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from service.sections.json_text import read_json
from service.sections.section import Section


class OnlineSettings(Section):
    """What is kept of answers, so that events can be joined with them."""

    answers: int = Field(
        100_000,
        ge=0,
        le=10_000_000,
        description="answers kept at most to be joined with events, some 0.5 kB each on the log's"
        " server for 20 items; 0 keeps none and measures nothing",
    )
    hours: float = Field(
        24.0,
        gt=0,
        le=24 * 365,
        description="… and for how long; an event that names an older one is not joined",
    )
    versions: int = Field(
        20,
        ge=1,
        le=200,
        description="latest versions that have figures of their own, up to 75 kB and 40 series of"
        " metrics each",
    )
    conversion_types: Annotated[tuple[str, ...], NoDecode] = Field(
        ("purchase",), description="event types that are conversions"
    )

    @field_validator("conversion_types", mode="before")
    @classmethod
    def _read_conversion_types(cls, value: Any) -> Any:
        return read_json("conversion_types", value, ("purchase",))
