"""Settings of answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from models.sources import SOURCES
from service.sections.json_text import read_json
from service.sections.section import Section


class ServingSettings(Section):
    """How answers are made."""

    poll_s: float = Field(1.0, gt=0, description="how often a replica looks at the head")
    catalogue_poll_s: float = Field(
        0.5, gt=0, description="how often a replica looks for catalogue writes of others"
    )
    lists_refresh_s: float = Field(
        1.0, gt=0, description="how often trending and popular are counted anew"
    )
    lists_size: int = Field(1_000, ge=1, description="length of the trending and popular lists")
    trending_half_life_h: float = Field(6.0, gt=0, description="decay of trending")
    rows: Literal["float32", "float16", "int8"] = Field(
        "float32",
        description="how item vectors are kept to be searched: in less memory, and more slowly",
    )
    explore_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        allow_inf_nan=False,
        description="share of an answer's places, rounded down, that items nobody knows well yet"
        " may have; 0: none, and 0.1 gives two of twenty",
    )
    explore_method: Literal["both", "thompson", "new"] = Field(
        "both",
        description="how they are found: `thompson` draws scores within what is not known of the"
        " network's best, `new` takes items with fewer events than"
        " `FRESHET_CONTENT__FEW_EVENTS`, from the latest",
    )
    drain_s: float = Field(
        3.0, ge=0, description="seconds between not-ready and the end of accepting on SIGTERM"
    )
    sources: Annotated[tuple[str, ...], NoDecode] = Field(
        tuple(SOURCES),
        description="who proposes candidates beside the network, in JSON; the fast memory's"
        " process, the learner and the api must agree; `[]`: the network alone",
    )

    @field_validator("sources", mode="before")
    @classmethod
    def _read_sources(cls, value: Any) -> Any:
        return read_json("sources", value, tuple(SOURCES))

    @field_validator("sources")
    @classmethod
    def _check_sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in SOURCES:
                raise ValueError(f"{name!r} is no source; there are {', '.join(SOURCES)}")
            if value.count(name) > 1:
                raise ValueError(f"{name!r} is named more than once")
        return value
