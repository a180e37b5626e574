"""Jobs: what the learner was asked to do, and how it went."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.domain.interactions import Position
from service.domain.versions import JOB_ENDED, Job, JobMode, JobStatus
from service.errors import Conflict, NotFound
from service.storage.clock import now_ms
from service.storage.database import reading, storable, writing
from service.storage.records import job_record
from service.storage.tables import JobRow

_ENDED = frozenset(status.value for status in JOB_ENDED)


class Jobs:
    """The queue of jobs; at most one of a mode is queued at a time.

    Args:
        engine: a database that `migrate` has prepared.

    Every method raises `Unavailable` when the database does not answer.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(self, mode: JobMode, reason: str, until: Position) -> tuple[Job, bool]:
        """Queue a job that covers the log up to `until`.

        A queued job of the same mode is answered in its place and made to reach as far.

        Returns:
            The job, and whether it is new.

        Raises:
            BadRequest: the reason cannot be stored.
        """
        storable("reason", reason)
        while True:
            try:
                with writing(self._engine) as session:
                    return _ask(session, mode, reason, until)
            except IntegrityError:  # another asked at the same moment: theirs is found next time
                continue

    def next_queued(self, mode: JobMode) -> Job | None:
        """The queued job of this mode, if there is one."""
        with reading(self._engine) as session:
            row = session.scalars(_in_status(mode, JobStatus.QUEUED)).first()
            return None if row is None else job_record(row)

    def running(self, mode: JobMode) -> list[Job]:
        """Jobs of this mode that are said to run; after a crash they wait to be taken up again."""
        with reading(self._engine) as session:
            return [job_record(row) for row in session.scalars(_in_status(mode, JobStatus.RUNNING))]

    def start(self, job_id: str) -> Job:
        """Take up a queued job.

        Raises:
            NotFound: there is no such job.
            Conflict: it is not queued (any more).
        """
        with writing(self._engine) as session:
            row = _job(session, job_id)
            if row.status != JobStatus.QUEUED.value:
                raise Conflict(f"job {job_id} is {row.status}")
            row.status, row.started_ms = JobStatus.RUNNING.value, now_ms()
            return job_record(row)

    def progress(self, job_id: str, progress: float, events: int | None = None) -> Job:
        """Say how far a job has come; the answer says whether it is to be cancelled.

        Args:
            progress: 0–1.
            events: how many it has worked through.
        """
        with writing(self._engine) as session:
            row = _job(session, job_id)
            if row.status == JobStatus.RUNNING.value:
                row.progress = min(max(progress, 0.0), 1.0)
                row.events = row.events if events is None else events
            return job_record(row)

    def end(
        self,
        job_id: str,
        status: JobStatus,
        *,
        events: int | None = None,
        metrics: Mapping[str, Any] | None = None,
        error: str | None = None,
        model_version: int | None = None,
    ) -> Job:
        """End a job; one that has ended stays as it is.

        Raises:
            NotFound: there is no such job.
            Conflict: `status` is no end.
        """
        if status not in JOB_ENDED:
            raise Conflict(f"a job does not end as {status}")
        with writing(self._engine) as session:
            row = _job(session, job_id)
            if row.status not in _ENDED:
                row.status, row.ended_ms = status.value, now_ms()
                row.progress = 1.0 if status is JobStatus.SUCCEEDED else row.progress
                row.events = row.events if events is None else events
                row.metrics = dict(metrics or {})
                row.error = None if error is None else error.replace("\0", "")
                row.model_version = model_version
            return job_record(row)

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued job at once, or ask a running one to stop.

        Raises:
            NotFound: there is no such job.
            Conflict: it has ended.
        """
        with writing(self._engine) as session:
            row = _job(session, job_id)
            if row.status in _ENDED:
                raise Conflict(f"job {job_id} has ended: {row.status}")
            row.cancel_requested = True
            if row.status == JobStatus.QUEUED.value:
                row.status, row.ended_ms = JobStatus.CANCELLED.value, now_ms()
            return job_record(row)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: there is no such job.
        """
        with reading(self._engine) as session:
            return job_record(_job(session, job_id, lock=False))

    def list(self, limit: int, cursor: str | None = None) -> tuple[list[Job], str | None]:
        """A page of jobs, newest first, and the cursor of the next page.

        Args:
            cursor: the id of the last job of the page before.

        Raises:
            NotFound: there is no such job.
        """
        query = select(JobRow).order_by(JobRow.created_ms.desc(), JobRow.job_id).limit(limit + 1)
        with reading(self._engine) as session:
            if cursor is not None:
                last = _job(session, cursor, lock=False)
                same = and_(JobRow.created_ms == last.created_ms, JobRow.job_id > last.job_id)
                query = query.where(or_(JobRow.created_ms < last.created_ms, same))
            found = [job_record(row) for row in session.scalars(query)]
        page = found[:limit]
        return page, page[-1].job_id if len(found) > limit else None


def _ask(session: Session, mode: JobMode, reason: str, until: Position) -> tuple[Job, bool]:
    row = session.scalars(_in_status(mode, JobStatus.QUEUED).with_for_update()).first()
    if row is not None:
        further = max(until, Position(row.until_ms, row.until_seq))
        row.until_ms, row.until_seq = further.ms, further.seq
        return job_record(row), False
    row = JobRow(
        job_id=uuid.uuid4().hex,
        mode=mode.value,
        status=JobStatus.QUEUED.value,
        until_ms=until.ms,
        until_seq=until.seq,
        created_ms=now_ms(),
        reason=reason,
        progress=0.0,
        events=0,
        metrics={},
        cancel_requested=False,
    )
    session.add(row)
    session.flush()
    return job_record(row), True


def _in_status(mode: JobMode, status: JobStatus) -> Any:
    return (
        select(JobRow)
        .where(JobRow.mode == mode.value, JobRow.status == status.value)
        .order_by(JobRow.created_ms, JobRow.job_id)
    )


def _job(session: Session, job_id: str, *, lock: bool = True) -> JobRow:
    storable_id = job_id if job_id.isalnum() and len(job_id) <= 32 else ""
    row = session.get(JobRow, storable_id, with_for_update=lock or None)
    if row is None:
        raise NotFound("there is no such job")
    return row
