"""Rows to domain values."""

from __future__ import annotations

from service.domain.interactions import Position
from service.domain.versions import (
    Head,
    Job,
    JobMode,
    JobStatus,
    Origin,
    VersionRecord,
    VersionStatus,
    WindowRecord,
    WindowStatus,
)
from service.storage.tables import HeadRow, JobRow, Version, Window


def head_record(row: HeadRow) -> Head:
    return Head(
        generation=row.generation,
        active=row.active,
        tip=row.tip,
        position=Position(row.position_ms, row.position_seq),
        epoch=row.epoch,
        pinned=row.pinned,
    )


def version_record(row: Version) -> VersionRecord:
    return VersionRecord(
        version=row.version,
        parent=row.parent,
        status=VersionStatus(row.status),
        origin=Origin(row.origin),
        position=Position(row.position_ms, row.position_seq),
        digest=row.digest,
        created_ms=row.created_ms,
        activated_ms=row.activated_ms,
        window_id=row.window_id,
        strategy=row.strategy,
        metrics=row.metrics,
        gate=row.gate,
        pruned=row.pruned,
    )


def window_record(row: Window) -> WindowRecord:
    return WindowRecord(
        window_id=row.window_id,
        parent=row.parent,
        start=Position(row.start_ms, row.start_seq),
        end=Position(row.end_ms, row.end_seq),
        seed=row.seed,
        draw_digest=row.draw_digest,
        lessons_digest=row.lessons_digest,
        status=WindowStatus(row.status),
        events=row.events,
        rate=row.rate,
        reason=row.gate.get("reason") if row.status == WindowStatus.REFUSED.value else None,
    )


def job_record(row: JobRow) -> Job:
    return Job(
        job_id=row.job_id,
        mode=JobMode(row.mode),
        status=JobStatus(row.status),
        until=Position(row.until_ms, row.until_seq),
        created_ms=row.created_ms,
        reason=row.reason,
        progress=row.progress,
        events=row.events,
        metrics=row.metrics,
        error=row.error,
        model_version=row.model_version,
        cancel_requested=row.cancel_requested,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
    )
