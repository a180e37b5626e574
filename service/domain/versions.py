"""Model versions, windows, the head, and jobs: what the registry knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.domain.interactions import START, Position

FIRST_VERSION = 1
"""Registered by the migration: it has learned nothing and is active until an update is."""


class VersionStatus(StrEnum):
    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"
    REJECTED = "rejected"


class Origin(StrEnum):
    """Where a version comes from."""

    INITIAL = "initial"
    INCREMENTAL = "incremental"
    FULL = "full"
    TRANSFER = "transfer"
    """Made of another service's checkpoint, before anything was learned here."""


@dataclass(frozen=True, slots=True)
class Head:
    """The one row that says what is served and where learning goes on.

    A commit names the `generation` and the `epoch` it started from and fails when either has moved,
    which fences a paused learner and a concurrent rollback.
    """

    generation: int
    active: int
    tip: int
    position: Position
    epoch: int
    pinned: bool


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One model version in the registry."""

    version: int
    parent: int | None
    status: VersionStatus
    origin: Origin
    position: Position
    """The last log entry that this version has passed."""
    digest: str
    """sha256 (hex) of the checkpoint's manifest."""
    created_ms: int
    activated_ms: int | None = None
    window_id: int | None = None
    strategy: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    pruned: bool = False
    """Whether its checkpoint has been removed to make room."""

    @property
    def restorable(self) -> bool:
        """Whether it can be activated: the gate let it pass, and its checkpoint is kept."""
        return self.status is not VersionStatus.REJECTED and not self.pruned

    @property
    def learned_until_ms(self) -> int | None:
        """Arrival time of the last log entry passed; None for a version that has passed none."""
        return None if self.position == START else self.position.ms


class WindowStatus(StrEnum):
    OPEN = "open"
    LEARNED = "learned"
    REFUSED = "refused"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """A stretch of the log that is, was, or will not be learned. Its bounds, seed and rate
    are facts.

    It covers the entries after `start` up to and with `end`.
    """

    window_id: int
    parent: int
    start: Position
    end: Position
    seed: int
    draw_digest: str
    """sha256 (hex) of the file that holds the replay draw."""
    status: WindowStatus
    events: int
    rate: float = 1.0
    """What the learning rate is multiplied by."""
    lessons_digest: str = ""
    """sha256 (hex) of the file that holds the mixer's lessons; empty where there is none."""
    reason: str | None = None
    """Why the gate refused it."""


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"


JOB_ENDED = frozenset(
    {JobStatus.SUCCEEDED, JobStatus.REJECTED, JobStatus.FAILED, JobStatus.CANCELLED}
)


class JobMode(StrEnum):
    INCREMENTAL = "incremental"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Job:
    """One thing the learner was asked to do."""

    job_id: str
    mode: JobMode
    status: JobStatus
    until: Position
    """The job covers the log up to here."""
    created_ms: int
    reason: str = ""
    progress: float = 0.0
    events: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    model_version: int | None = None
    cancel_requested: bool = False
    started_ms: int | None = None
    ended_ms: int | None = None
