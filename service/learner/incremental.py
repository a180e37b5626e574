"""Incremental jobs: learn the log up to a position now, without waiting for the clock.

What a job covers is a stretch of the log, and what became of it stands in the windows, which are
read from the registry whenever there is something to say. So one that a dead learner left running
goes on where it was, and forgets nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import structlog

from service.domain.interactions import Position
from service.domain.versions import Head, Job, JobMode, JobStatus, WindowRecord, WindowStatus
from service.errors import Conflict
from service.learner.committing import Committed
from service.learner.learning import Lesson
from service.learner.metrics import summary
from service.learner.names import facts
from service.learner.unlearned import Unlearned
from service.storage.jobs import Jobs
from service.storage.lookups import Lookups

log = structlog.get_logger()


class Incremental:
    """The incremental job in work, if there is one."""

    def __init__(self, jobs: Jobs, registry: Lookups, unlearned: Unlearned) -> None:
        self._jobs = jobs
        self._registry = registry
        self._unlearned = unlearned
        self._job: Job | None = None
        self._metrics: dict[str, Any] = {}

    @property
    def job_id(self) -> str | None:
        return None if self._job is None else self._job.job_id

    def look(self, head: Head) -> Position | None:
        """Take up, go on with or end a job.

        Returns:
            Up to where the log is to be learned at once; None when no job asks for it.
        """
        job = self._job = self._jobs.get(self._job.job_id) if self._job else self._next()
        if job is None:
            return None
        if job.cancel_requested:
            self._end(job, JobStatus.CANCELLED, head)
            return None
        if job.until <= head.position or self._unlearned.cut(head.position, 1, job.until) is None:
            self._end(job, JobStatus.SUCCEEDED, head)
            return None
        return job.until

    def learned(self, lesson: Lesson, committed: Committed) -> None:
        """Count a window, by whatever it was cut."""
        self._metrics = summary(lesson.metrics, lesson.gate)
        if self._job is None:
            return
        done = sum(window.events for window in self._windows(self._job))
        left = self._unlearned.count(committed.head.position, self._job.until)
        self._job = self._jobs.progress(self._job.job_id, done / max(done + left, 1), events=done)

    def fail(self, reason: str) -> None:
        """End the job in work: it cannot be done."""
        job = self._job or self._next()
        if job is not None:
            self._jobs.end(job.job_id, JobStatus.FAILED, error=reason)
            self._job = None

    def _next(self) -> Job | None:
        """A job that is said to run (a learner before this one took it up), else a queued one."""
        running = self._jobs.running(JobMode.INCREMENTAL)
        if running:
            log.info("a job goes on", job_id=running[0].job_id)
            return running[0]
        self._metrics = {}
        queued = self._jobs.next_queued(JobMode.INCREMENTAL)
        if queued is not None:
            with suppress(Conflict):  # cancelled at this very moment
                return self._jobs.start(queued.job_id)
        return None

    def _end(self, job: Job, status: JobStatus, head: Head) -> None:
        windows = self._windows(job)
        refused = [window for window in windows if window.status is WindowStatus.REFUSED]
        metrics, error = dict(self._metrics), None
        if refused:
            metrics["refused"] = [
                {"window": facts(window), "reason": window.reason} for window in refused
            ]
        if refused and status is JobStatus.SUCCEEDED:
            status = JobStatus.REJECTED
            error = " ".join(str(window.reason) for window in refused)
        events = sum(window.events for window in windows)
        self._jobs.end(
            job.job_id,
            status,
            events=events,
            metrics=metrics,
            error=error,
            model_version=head.tip if events else head.active,
        )
        self._job = None

    def _windows(self, job: Job) -> list[WindowRecord]:
        """What was learned or refused since the job was taken up."""
        since_ms = job.created_ms if job.started_ms is None else job.started_ms
        return self._registry.windows_ended_since(since_ms)
