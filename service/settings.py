"""Settings: read once per process, at its entry; below that, values travel as arguments.

Each is an environment variable `FRESHET_<NAME>` (nested names joined by `__`), a line in `.env`,
and, where the command line offers it, a flag of the same name.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.config import LearningConfig
from service.domain.interactions import IMPRESSION, SKIP
from service.domain.recommendations import DEFAULT_OBJECTIVE
from service.sections import (
    ContentSettings,
    DriftSettings,
    LearnerSettings,
    LimitSettings,
    LogSettings,
    MemorySettings,
    OnlineSettings,
    ServingSettings,
    WindowSettings,
    read_json,
)


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(
        env_prefix="FRESHET_",
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        frozen=True,
    )

    host: str = Field("127.0.0.1", description="address the api listens on")
    port: int = Field(8000, ge=0, le=65_535, description="port the api listens on")
    data_dir: Path = Field(Path(".freshet"), description="checkpoints, archive, embedded stores")
    redis_url: str | None = Field(
        None, description="the event log's server; unset or empty: an embedded one is started"
    )
    database_url: str | None = Field(
        None, description="the registry; unset or empty: SQLite in the data directory"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where torch computes")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lines below it are not written"
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto`: console on a terminal, else json"
    )
    namespace: str = Field(
        "freshet", pattern=r"^[a-z0-9_-]{1,32}$", description="prefix of every Redis key"
    )
    event_types: dict[str, float] = Field(
        {
            "click": 1.0,
            "view": 1.0,
            "cart": 3.0,
            "purchase": 5.0,
            "rating": 1.0,
            "play": 1.0,
            "like": 2.0,
            "impression": 0.0,
            "skip": 0.0,
        },
        description="event types and their weights, none negative; weight 0 is no positive signal,"
        " and `skip` keeps its item from the user's answers and is learned as an explicit negative",
    )
    positive_from: dict[str, float] = Field(
        {"rating": 4.0},
        description="events of these types with a value below it are no positive signal",
    )
    repeatable_types: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="event types after which an item may be recommended to the same user again,"
        ' such as `["play"]`: what was taken by them alone does not count as seen',
    )

    window: WindowSettings = WindowSettings()
    log: LogSettings = LogSettings()
    serving: ServingSettings = ServingSettings()
    content: ContentSettings = ContentSettings()
    limits: LimitSettings = LimitSettings()
    drift: DriftSettings = DriftSettings()
    online: OnlineSettings = OnlineSettings()
    learner: LearnerSettings = LearnerSettings()
    memory: MemorySettings = MemorySettings()
    learning: LearningConfig = LearningConfig()

    @field_validator("learning", mode="before")
    @classmethod
    def _read_learning(cls, value: Any) -> Any:
        """Lists and mappings arrive from the environment as JSON text, which a plain dataclass
        would keep, and it would pass over names that it does not have."""
        if not isinstance(value, dict):
            return value
        defaults = {
            field.name: getattr(LearningConfig(), field.name)
            for field in dataclasses.fields(LearningConfig)
        }
        if unknown := sorted(set(value) - set(defaults)):
            raise ValueError(f"{unknown[0]}: there is no such setting")
        return {name: read_json(name, part, defaults[name]) for name, part in value.items()}

    @field_validator("repeatable_types", mode="before")
    @classmethod
    def _read_repeatable_types(cls, value: Any) -> Any:
        return read_json("repeatable_types", value, ())

    @field_validator("redis_url", "database_url")
    @classmethod
    def _read_addresses(cls, value: str | None) -> str | None:
        """An empty variable is the way to take back a line of `.env`."""
        return value or None

    @field_validator("event_types")
    @classmethod
    def _check_event_types(cls, value: dict[str, float]) -> dict[str, float]:
        if "click" not in value:
            raise ValueError("'click' is the default type and must be there")
        for name, weight in value.items():
            if weight < 0.0:
                raise ValueError(
                    f"the weight of {name!r} must not be negative: what a user turns down is sent"
                    f" as an event of type {SKIP!r}, which keeps the item from that user"
                )
            if not weight < 1e6:
                raise ValueError(f"the weight of {name!r} must lie in [0, 1e6)")
            if weight and name in (IMPRESSION, SKIP):
                raise ValueError(f"the weight of {name!r} must be 0: it is no positive signal")
        return value

    @model_validator(mode="after")
    def _check_positive_types(self) -> Self:
        asked = {
            "learning.type_heads": self.learning.type_heads,
            "repeatable_types": self.repeatable_types,
        }
        for setting, names in asked.items():
            for name in names:
                if name not in self.positive_types:
                    raise ValueError(
                        f"{setting}: {name!r} is no event type with a weight above 0;"
                        f" there are {', '.join(self.positive_types)}"
                    )
        return self

    @model_validator(mode="after")
    def _check_conversion_types(self) -> Self:
        """Those that somebody has asked for; the default may name a type that a shop lacks."""
        if "conversion_types" in self.online.model_fields_set:
            for name in self.online.conversion_types:
                if name not in self.event_types:
                    raise ValueError(
                        f"online.conversion_types: {name!r} is no event type;"
                        f" there are {', '.join(self.event_types)}"
                    )
        return self

    @property
    def positive_types(self) -> tuple[str, ...]:
        """The event types that may be a positive signal."""
        return tuple(name for name, weight in self.event_types.items() if weight > 0)

    @property
    def objectives(self) -> tuple[str, ...]:
        """The event types that recommendations can be asked for: the default and the heads."""
        others = (name for name in self.learning.type_heads if name != DEFAULT_OBJECTIVE)
        return (DEFAULT_OBJECTIVE, *others)
