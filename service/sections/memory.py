"""Settings of the fast memory."""

from __future__ import annotations

import dataclasses
from typing import Self

from pydantic import Field, model_validator

from models.memory.config import MemoryConfig
from service.sections.section import Section

_MEMORY = MemoryConfig()


class MemorySettings(Section):
    """The fast memory: what it keeps, and how quickly it is written and followed."""

    max_items: int = Field(
        _MEMORY.max_items,
        description="items known at once, each up to 2 KB in Redis and 3.8 KB in each replica at"
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
        _MEMORY.fast_half_life_h, description="half-life of fast popularity"
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
