"""The sections of the settings, one for each part; `service/settings.py` puts them together."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from models.memory.config import MemoryConfig
from models.sources import SOURCES


def read_json(name: str, value: Any, default: Any) -> Any:
    """A list of words or a mapping, either of which may be JSON text; anything else as it is."""
    if not isinstance(default, tuple | Mapping):
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(default, Mapping):
        if isinstance(value, Mapping) and all(isinstance(part, Mapping) for part in value.values()):
            return value
        example = {"online-ewc": {"strength": 10}}
        raise ValueError(f"{name}: must be a mapping in JSON, such as {json.dumps(example)}")
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return value
    listed = default or ("click", "purchase")
    raise ValueError(f"{name}: must be a list in JSON, such as {json.dumps(listed)}")


class WindowSettings(BaseModel):
    """When the learner cuts a window."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_events: int = Field(2_000, ge=1, description="cut after so many events …")
    max_age_s: float = Field(30.0, gt=0, description="… or when the oldest is so old")


class LogSettings(BaseModel):
    """The event log, its durability and the histories beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class ServingSettings(BaseModel):
    """How answers are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class LearnerSettings(BaseModel):
    """How the learner's process runs; what it learns is in `learning`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int = Field(
        1,
        ge=0,
        description="torch threads of the learner, 0: one per core; at the size of the default"
        " model one is the fastest, and leaves the other cores to serving",
    )
    poll_s: float = Field(
        0.25, gt=0, description="how often the learner looks at the log and at the jobs"
    )
    keep_versions: int = Field(
        5, ge=1, description="latest activated versions whose checkpoints stay for a rollback …"
    )
    keep_hours: int = Field(
        24, ge=0, description="… beside the latest version of each of so many hours …"
    )
    keep_days: int = Field(7, ge=0, description="… and of each of so many days")
    max_attempts: int = Field(
        10, ge=1, description="a window that so many learners died in is refused"
    )
    start_from: Path | None = Field(
        None,
        description="directory of a checkpoint that the first version is made of, while nothing is"
        " learned yet; its encoder, dimension and heads must be those asked for",
    )
    full_nice: int = Field(
        10, ge=0, le=19, description="niceness of the process that trains a full retrain"
    )


class OnlineSettings(BaseModel):
    """What is kept of answers, so that events can be joined with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


_MEMORY = MemoryConfig()


class MemorySettings(BaseModel):
    """The fast memory: what it keeps, and how quickly it is written and followed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_items: int = Field(
        _MEMORY.max_items,
        description="items known at once, each up to 2.2 KB in Redis and 4 KB in each replica at"
        " the default width; above it those that happened least of late are dropped",
    )
    width: int = Field(
        _MEMORY.width, description="neighbours kept of an item in each graph, the strongest"
    )
    sessions: int = Field(
        _MEMORY.sessions,
        description="latest users whose events are kept, each up to 0.7 KB at the default length",
    )
    session_length: int = Field(
        _MEMORY.session_length, description="latest events kept of each of these users"
    )
    sessions_per_item: int = Field(
        _MEMORY.sessions_per_item, description="latest users among whom an item is found again"
    )
    reach: int = Field(_MEMORY.reach, description="steps of a user's stream that a pair may span")
    half_life_h: float = Field(
        _MEMORY.half_life_h, description="half-life of co-visits, transitions and popularity"
    )
    trending_half_life_h: float = Field(
        _MEMORY.trending_half_life_h, description="half-life of what trends"
    )
    fast_half_life_h: float = Field(
        _MEMORY.fast_half_life_h, description="half-life of fast transitions and fast popularity"
    )
    commit_s: float = Field(
        0.15, gt=0, le=60, description="how often the memory looks at the log and is written"
    )
    batch_events: int = Field(
        2_000, ge=1, le=100_000, description="events remembered in one step, at most"
    )
    poll_s: float = Field(0.15, gt=0, le=60, description="how often a replica follows the memory")
    changes: int = Field(
        256,
        ge=1,
        le=100_000,
        description="steps that a replica may be behind before it loads the whole memory anew",
    )
    hold_s: float = Field(
        3_600.0,
        ge=0,
        description="how long the log is kept for a memory that is behind, while less than half"
        " of `FRESHET_LOG__MAX_ENTRIES` stands in it",
    )
    lesson_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="share of the positive events that the mixer learns from; 0 turns it off",
    )
    lessons_per_batch: int = Field(
        16,
        ge=0,
        le=10_000,
        description="… at most so many of those remembered in one step, which each holds up by"
        " some 10 ms",
    )
    lessons: int = Field(
        2_048,
        ge=0,
        le=100_000,
        description="… and at most so many kept for the windows to learn from, some 10 kB each in"
        " Redis; 0 turns it off",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.config()
        return self

    def config(self) -> MemoryConfig:
        """Its bounds and half-lives."""
        names = (field.name for field in dataclasses.fields(MemoryConfig))
        return MemoryConfig(**{name: getattr(self, name) for name in names})


class DriftSettings(BaseModel):
    """What is done when the model becomes worse on what comes; without a detector, nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: Literal["none", "adwin", "page-hinkley"] = Field(
        "none",
        description="what watches the prequential recall of the windows for a fall; one costs the"
        " learner some 90 MB and, once, seconds",
    )
    adwin_delta: float = Field(
        0.002, gt=0, lt=1, description="δ of `adwin`: larger is quicker and more often wrong"
    )
    tolerance: float = Field(
        0.01, ge=0, le=1, description="of `page-hinkley`: a fall of recall that is nothing"
    )
    threshold: float = Field(
        0.5,
        gt=0,
        description="of `page-hinkley`: falls beyond the tolerance that, summed over windows, raise"
        " the alarm; smaller is quicker and more often wrong",
    )
    min_windows: int = Field(
        10, ge=1, description="of `page-hinkley`: windows that are seen before it may alarm"
    )
    memory: int = Field(
        500, ge=20, le=10_000, description="latest windows, at most, that a detector looks back on"
    )
    windows: int = Field(10, ge=0, description="windows after an alarm that answer it with …")
    interval_factor: float = Field(
        1.0, gt=0, le=1, description="… the update interval, events and age, times this, and …"
    )
    learning_rate_factor: float = Field(
        1.0, gt=0, le=100, description="… the learning rate times this"
    )


class LimitSettings(BaseModel):
    """What one request may ask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_body_bytes: int = Field(1_048_576, ge=1_024, description="larger bodies get 413")
    max_batch: int = Field(1_000, ge=1, description="events, items or requests in a batch")
    max_explained: int = Field(50, ge=1, description="requests in a batch with `explain`")
    requests_per_s: float = Field(0.0, ge=0, description="per key; 0 is without limit")
    future_s: float = Field(
        300.0, ge=0, le=86_400, description="how far ahead a timestamp may lie, at most a day"
    )
