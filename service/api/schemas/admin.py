"""Retraining, jobs, versions and status."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, TypeAdapter

from service.api.schemas.fields import Shape, Words, format_time
from service.domain.versions import Head, Job, VersionRecord


class RetrainIn(Shape):
    """What the learner is asked to do."""

    mode: Literal["incremental", "full"] = "incremental"
    reason: Words = Field("", max_length=1_000)


class ActivateIn(Shape):
    """How a version is taken."""

    pin: bool = Field(False, description="no later version is activated until the pin is removed")
    relearn: bool = Field(False, description="the events since are learned again")


class JobAsked(Shape):
    """A job is queued."""

    job_id: str
    status: str


class JobOut(Shape):
    """One thing the learner was asked to do."""

    job_id: str
    mode: str
    status: str
    reason: str
    progress: float
    events: int
    metrics: dict[str, Any]
    error: str | None
    model_version: int | None
    until: str
    cancel_requested: bool
    created_at: str
    started_at: str | None
    ended_at: str | None


class JobPage(Shape):
    """Jobs, newest first; `next_cursor` is null at the end."""

    jobs: list[JobOut]
    next_cursor: str | None


class ModelOut(Shape):
    """One model version."""

    version: int
    parent: int | None
    status: str
    origin: str
    position: str
    learned_until: str | None
    digest: str
    created_at: str
    activated_at: str | None
    restorable: bool
    strategy: dict[str, Any]
    metrics: dict[str, Any]
    gate: dict[str, Any]


class ModelPage(Shape):
    """Versions, newest first; `next_cursor` is null at the end."""

    models: list[ModelOut]
    next_cursor: str | None


class HeadOut(Shape):
    """What is served and where learning goes on."""

    generation: int
    active: int
    tip: int
    position: str
    pinned: bool


RETRAIN_IN = TypeAdapter(RetrainIn)
ACTIVATE_IN = TypeAdapter(ActivateIn)


def job_out(job: Job) -> dict[str, Any]:
    """A job as JSON values."""
    return {
        "job_id": job.job_id,
        "mode": job.mode.value,
        "status": job.status.value,
        "reason": job.reason,
        "progress": job.progress,
        "events": job.events,
        "metrics": job.metrics,
        "error": job.error,
        "model_version": job.model_version,
        "until": str(job.until),
        "cancel_requested": job.cancel_requested,
        "created_at": format_time(job.created_ms),
        "started_at": format_time(job.started_ms),
        "ended_at": format_time(job.ended_ms),
    }


def model_out(record: VersionRecord) -> dict[str, Any]:
    """A version as JSON values."""
    return {
        "version": record.version,
        "parent": record.parent,
        "status": record.status.value,
        "origin": record.origin.value,
        "position": str(record.position),
        "learned_until": format_time(record.learned_until_ms),
        "digest": record.digest,
        "created_at": format_time(record.created_ms),
        "activated_at": format_time(record.activated_ms),
        "restorable": record.restorable,
        "strategy": record.strategy,
        "metrics": record.metrics,
        "gate": record.gate,
    }


def head_out(head: Head) -> dict[str, Any]:
    """The head as JSON values."""
    return {
        "generation": head.generation,
        "active": head.active,
        "tip": head.tip,
        "position": str(head.position),
        "pinned": head.pinned,
    }
