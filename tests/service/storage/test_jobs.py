"""Jobs: asked once, taken up once, ended once."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine

from service.domain.interactions import START, Position
from service.domain.versions import JobMode, JobStatus
from service.errors import BadRequest, Conflict, NotFound
from service.storage.jobs import Jobs


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    return Jobs(engine)


def test_a_queued_job_is_answered_again_and_reaches_further(jobs: Jobs) -> None:
    first, created = jobs.ask(JobMode.INCREMENTAL, "why", Position(5, 0))
    assert created
    assert (first.status, first.reason, first.progress) == (JobStatus.QUEUED, "why", 0.0)
    again, created = jobs.ask(JobMode.INCREMENTAL, "other", Position(9, 1))
    assert not created
    assert (again.job_id, again.until, again.reason) == (first.job_id, Position(9, 1), "why")
    back, _ = jobs.ask(JobMode.INCREMENTAL, "", Position(2, 0))
    assert back.until == Position(9, 1)
    full, created = jobs.ask(JobMode.FULL, "why", Position(9, 1))
    assert created
    assert full.job_id != first.job_id


def test_a_running_job_does_not_cover_what_is_asked_later(jobs: Jobs) -> None:
    first, _ = jobs.ask(JobMode.INCREMENTAL, "", START)
    assert jobs.next_queued(JobMode.INCREMENTAL) == first
    jobs.start(first.job_id)
    assert jobs.next_queued(JobMode.INCREMENTAL) is None
    assert [job.job_id for job in jobs.running(JobMode.INCREMENTAL)] == [first.job_id]
    assert jobs.running(JobMode.FULL) == []
    _, created = jobs.ask(JobMode.INCREMENTAL, "", START)
    assert created


def test_a_job_runs_and_ends(jobs: Jobs) -> None:
    job, _ = jobs.ask(JobMode.FULL, "", START)
    started = jobs.start(job.job_id)
    assert started.started_ms is not None
    with pytest.raises(Conflict):
        jobs.start(job.job_id)
    assert jobs.progress(job.job_id, 0.5, events=10).progress == 0.5
    assert jobs.progress(job.job_id, 7.0).events == 10
    with pytest.raises(Conflict):
        jobs.end(job.job_id, JobStatus.RUNNING)
    ended = jobs.end(
        job.job_id, JobStatus.SUCCEEDED, events=20, metrics={"a": 1.0}, model_version=3
    )
    assert (ended.status, ended.progress, ended.events) == (JobStatus.SUCCEEDED, 1.0, 20)
    assert (ended.metrics, ended.model_version) == ({"a": 1.0}, 3)
    assert jobs.end(job.job_id, JobStatus.FAILED, error="late") == ended
    assert jobs.progress(job.job_id, 0.1) == ended
    assert jobs.get(job.job_id) == ended


def test_cancelling(jobs: Jobs) -> None:
    queued, _ = jobs.ask(JobMode.FULL, "", START)
    assert jobs.cancel(queued.job_id).status is JobStatus.CANCELLED
    with pytest.raises(Conflict):
        jobs.cancel(queued.job_id)
    running, _ = jobs.ask(JobMode.FULL, "", START)
    jobs.start(running.job_id)
    asked = jobs.cancel(running.job_id)
    assert (asked.status, asked.cancel_requested) == (JobStatus.RUNNING, True)
    assert jobs.progress(running.job_id, 0.2).cancel_requested


def test_unknown_ids(jobs: Jobs) -> None:
    for unknown in ("no", "", "a\0b", "x" * 1_000, "\ud800"):
        with pytest.raises(NotFound):
            jobs.get(unknown)
        with pytest.raises(NotFound):
            jobs.cancel(unknown)


def test_a_reason_that_cannot_be_stored_is_refused(jobs: Jobs) -> None:
    with pytest.raises(BadRequest):
        jobs.ask(JobMode.FULL, "a\0b", START)


def test_pages(jobs: Jobs) -> None:
    made = []
    for _ in range(5):
        job, _ = jobs.ask(JobMode.FULL, "", START)
        made.append(jobs.cancel(job.job_id).job_id)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page, cursor = jobs.list(2, cursor)
        seen += [job.job_id for job in page]
    assert cursor is None
    assert sorted(seen) == sorted(made)
    created = [jobs.get(job_id).created_ms for job_id in seen]
    assert created == sorted(created, reverse=True)
    with pytest.raises(NotFound):
        jobs.list(2, "unknown")


def test_many_ask_at_once_and_get_one_job(jobs: Jobs) -> None:
    answers: list[tuple[str, bool]] = []
    barrier = threading.Barrier(8)

    def ask(seq: int) -> None:
        barrier.wait()
        job, created = jobs.ask(JobMode.INCREMENTAL, "", Position(1, seq))
        answers.append((job.job_id, created))

    threads = [threading.Thread(target=ask, args=(seq,)) for seq in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len({job_id for job_id, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1
    assert jobs.get(answers[0][0]).until == Position(1, 7)
