"""Full retrains: fresh weights from the archive, trained beside the increments.

The child starts from the tip of the moment and trains on everything up to the head's position P.
Windows go on being learned meanwhile. When it is done, the learner brings its weights up to date by
learning the windows since P once more, with their recorded seeds and draws, judges them against the
active version, and publishes: parent = tip, origin `full`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import structlog
import torch

from service.domain.interactions import START, Position
from service.domain.versions import (
    FIRST_VERSION,
    Head,
    Job,
    JobMode,
    JobStatus,
)
from service.errors import Conflict
from service.learner.child import Child, Run
from service.learner.drawing import window_seed
from service.learner.full import Request
from service.learner.learning import Lesson
from service.learner.metrics import summary
from service.learner.stores import Stores
from service.learner.unlearned import Unlearned
from service.settings import Settings

log = structlog.get_logger()

_TRAINED = 0.9
"""Progress of a job whose child is done; catching up and judging are the rest."""
_TELL_EVERY_S = 1.0
_ASK_AGAIN_S = 600.0
_ASK_AGAIN_WINDOWS = 10
"""What came to nothing is asked for again after so long, or so many windows' worth of events."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The full retrain that changed settings ask for, as it was last queued."""

    tip: int
    at_s: float
    waiting: int
    """Events that were not learned at the time."""


class Retrain:
    """The full retrain in work, if there is one."""

    def __init__(
        self, stores: Stores, settings: Settings, unlearned: Unlearned, device: str
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._unlearned = unlearned
        self._device = device
        self._run: Run | None = None
        self._asked: _Asked | None = None
        self._ended: str | None = None

    @property
    def is_running(self) -> bool:
        return self._run is not None

    def queue(self, head: Head, reason: str) -> str | None:
        """Ask for a full retrain from this tip; when one came to nothing, again after a while.

        Returns:
            How the last one ended, while it is not yet time to ask again; None while one is on
            its way.
        """
        if self.is_running or self._stores.jobs.next_queued(JobMode.FULL) is not None:
            return None
        waiting, asked = self._unlearned.count(head.position), self._asked
        if asked is not None and asked.tip == head.tip:
            many = _ASK_AGAIN_WINDOWS * self._settings.window.max_events
            is_time = time.monotonic() - asked.at_s >= _ASK_AGAIN_S
            if not is_time and waiting - asked.waiting < many:
                return self._ended or "it was cancelled"
        self._stores.jobs.ask(JobMode.FULL, reason, head.position)
        self._asked = _Asked(head.tip, time.monotonic(), waiting)
        return None

    def wants(self) -> Position | None:
        """Up to where a queued one wants the log to be learned before it starts."""
        queued = None if self._run else self._stores.jobs.next_queued(JobMode.FULL)
        return None if queued is None else queued.until

    def look(self, head: Head, *, at_once: bool = False) -> Run | None:
        """Start the one that is queued, follow the one that runs.

        Args:
            at_once: start although the log is not learned as far as the job asks.

        Returns:
            The run, once its child is done and waits to be caught up.
        """
        run = self._run
        if run is None:
            self._start(head, at_once)
            return None
        if time.monotonic() - run.told_s < _TELL_EVERY_S and run.child.is_running:
            return None
        run.told_s = time.monotonic()
        run.job = self._stores.jobs.progress(run.job.job_id, _TRAINED * run.child.progress())
        if run.job.cancel_requested:
            self._end(JobStatus.CANCELLED)
        elif not self._descends(head.tip, run.version):
            self._end(JobStatus.FAILED, error="a rollback has undone what it started from")
        elif not run.child.is_running:
            if run.child.result() is not None:
                return run
            self._end(JobStatus.FAILED, error=run.child.error())
        return None

    def done(self, lesson: Lesson, version: int) -> None:
        """End the job: its lesson was committed as `version`."""
        self._end(
            JobStatus.SUCCEEDED if lesson.accepted else JobStatus.REJECTED,
            events=lesson.metrics["events"],
            metrics=summary(lesson.metrics, lesson.gate),
            error=None if lesson.accepted else str(lesson.gate["reason"]),
            model_version=version,
        )

    def fail(self, reason: str) -> None:
        """End the one in work: it cannot be done."""
        if self._run is not None:
            self._end(JobStatus.FAILED, error=reason)

    def fail_left(self) -> None:
        """End those that a learner before this one left running: their work died with it."""
        for job in self._stores.jobs.running(JobMode.FULL):
            if self._run is None or job.job_id != self._run.job.job_id:
                reason = "the learner ended while it ran; ask for it again"
                self._stores.jobs.end(job.job_id, JobStatus.FAILED, error=reason)

    def close(self) -> None:
        """Stop the child; its job is ended by the next learner."""
        if self._run is not None:
            self._run.child.end()

    def _start(self, head: Head, at_once: bool) -> None:
        queued = self._stores.jobs.next_queued(JobMode.FULL)
        if queued is None or not (at_once or self._is_learned(head, queued.until)):
            return
        try:
            job = self._stores.jobs.start(queued.job_id)
        except Conflict:  # cancelled at this very moment
            return
        if head.position == START:
            reason = {"reason": "nothing has been learned yet"}
            done = JobStatus.SUCCEEDED
            self._stores.jobs.end(job.job_id, done, metrics=reason, model_version=head.active)
            return
        number = self._stores.registry.next_version()  # a refused one took one: no seed twice
        purpose = f"full:{number}"
        seed = window_seed(self._settings.learning.seed, head.position, head.tip, purpose)
        child = Child(self._request(job, head, seed), self._settings.learner.full_nice)
        self._run = Run(job, child, head.tip, head.position, seed, time.monotonic())
        log.info("full retrain begins", job_id=job.job_id, version=head.tip)

    def _is_learned(self, head: Head, until: Position) -> bool:
        """Whether no event up to `until` waits to be learned."""
        return until <= head.position or self._unlearned.cut(head.position, 1, until) is None

    def _request(self, job: Job, head: Head, seed: int) -> Request:
        stores, settings = self._stores, self._settings
        skipped = [
            (str(start), str(end)) for start, end in stores.registry.passed_by(head.position)
        ]
        return Request(
            parent_pid=os.getpid(),
            work_dir=str(stores.work_dir / job.job_id),
            archive_dir=str(stores.archive_dir),
            checkpoint_dir=str(stores.checkpoint_dir),
            version=head.tip,
            digest=stores.registry.version(head.tip).digest,
            until=str(head.position),
            excluded=skipped,
            seed=seed,
            learning=settings.learning,
            event_types=settings.event_types,
            positive_from=settings.positive_from,
            secret_hex=stores.registry.secret().hex(),
            device=self._device,
            threads=torch.get_num_threads(),
        )

    def _descends(self, version: int, ancestor: int) -> bool:
        """Whether `version` was learned from `ancestor`, or is it."""
        at: int | None = version
        while at is not None and at > max(ancestor, FIRST_VERSION):
            at = self._stores.registry.version(at).parent
        return at == ancestor

    def _end(self, status: JobStatus, **said: Any) -> None:
        if self._run is None:
            return
        self._ended = f"it was {status.value}: {said.get('error')}"
        self._stores.jobs.end(self._run.job.job_id, status, **said)
        log.info("full retrain ends", job_id=self._run.job.job_id, status=status.value)
        self._run.child.end()
        self._run = None
