"""Incremental jobs and full retrains, as the api asks for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from models.continual.gate import REFUSED, Verdict
from models.continual.window import Candidate, learn_window
from service.domain.versions import Job, JobMode, JobStatus, Origin, VersionStatus
from service.errors import CorruptEntry
from service.learner.learner import Learner
from service.learner.learning import Abandoned
from tests.service.learner.world import World, clicks, differences, post, settle


def ask(world: World, mode: JobMode = JobMode.INCREMENTAL) -> Job:
    job, _ = world.stores.jobs.ask(mode, "a test", world.stores.log.last())
    return job


def work_until(learner: Learner, test: Callable[[], bool], timeout_s: float = 60.0) -> None:
    until_s = time.monotonic() + timeout_s
    while not test():
        if time.monotonic() > until_s:
            raise TimeoutError("not in time")
        if not learner.turn():
            time.sleep(0.02)


def ended(world: World, job: Job) -> Callable[[], bool]:
    return lambda: world.stores.jobs.get(job.job_id).ended_ms is not None


def poisoned(*args: Any, **named: Any) -> Candidate:
    """A lesson that no gate lets pass."""
    candidate = learn_window(*args, **named)
    candidate.state.net.snapshot()["items"].fill_(torch.nan)
    return candidate


def test_a_job_covers_every_event_before_it(world: World) -> None:
    post(world.settings, clicks(230))
    job = ask(world)
    post(world.settings, clicks(10, seed=1))
    settle(world.learner())
    done = world.stores.jobs.get(job.job_id)
    assert done.status is JobStatus.SUCCEEDED
    assert done.events == 230
    assert done.progress == 1.0
    assert done.model_version == world.stores.registry.head().active == 4
    assert world.stores.registry.head().position == job.until
    assert done.metrics["gate"]["verdict"] in ("accepted", "insufficient_evidence")
    assert done.metrics["positions_per_s"] > 0


def test_a_job_with_nothing_to_do_succeeds_with_the_current_version(world: World) -> None:
    job = ask(world)
    settle(world.learner())
    done = world.stores.jobs.get(job.job_id)
    assert (done.status, done.events, done.model_version) == (JobStatus.SUCCEEDED, 0, 1)


def test_a_job_over_a_corrupt_entry_alone_ends(world: World) -> None:
    world.stores.client.xadd(world.stores.keys.log, {b"v": b"9"})
    job = ask(world)
    settle(world.learner())
    assert world.stores.jobs.get(job.job_id).status is JobStatus.SUCCEEDED


def test_a_job_whose_window_is_refused_is_rejected_and_says_which(world: World) -> None:
    post(world.settings, clicks(100))
    job = ask(world)
    settle(world.learner(learn=poisoned))
    done = world.stores.jobs.get(job.job_id)
    assert done.status is JobStatus.REJECTED
    (refused,) = done.metrics["refused"]
    assert refused["window"]["window_id"] == world.stores.registry.windows()[0].window_id
    assert "finite" in str(done.error)


def test_a_job_is_cancelled_between_windows(world: World) -> None:
    post(world.settings, clicks(300))
    job = ask(world)
    learner = world.learner()
    assert learner.turn()
    world.stores.jobs.cancel(job.job_id)
    settle(learner)
    done = world.stores.jobs.get(job.job_id)
    assert (done.status, done.events) == (JobStatus.CANCELLED, 100)


def test_a_job_left_by_a_dead_learner_goes_on(world: World) -> None:
    post(world.settings, clicks(300))
    job = ask(world)
    world.learner().turn()
    assert world.stores.jobs.get(job.job_id).status is JobStatus.RUNNING
    settle(world.learner())
    done = world.stores.jobs.get(job.job_id)
    assert (done.status, done.events) == (JobStatus.SUCCEEDED, 300)


def test_a_full_retrain_takes_the_tip_while_windows_go_on(world: World) -> None:
    registry = world.stores.registry
    post(world.settings, clicks(300))
    learner = world.learner()
    settle(learner)
    job = ask(world, JobMode.FULL)
    learner.turn()
    assert world.stores.jobs.get(job.job_id).status is JobStatus.RUNNING
    post(world.settings, clicks(200, seed=1))
    assert learner.turn()  # a window is learned beside it
    assert registry.head().tip == 5
    work_until(learner, ended(world, job))
    done = world.stores.jobs.get(job.job_id)
    assert done.status is JobStatus.SUCCEEDED, done
    record = registry.version(done.model_version or 0)
    assert record.origin is Origin.FULL
    assert record.parent == record.version - 1
    assert registry.head().tip == record.version
    assert done.metrics["gate"]["verdict"] in ("accepted", "insufficient_evidence")
    full, before = world.state(record.version), world.state(record.version - 1)
    memory = [name for name in differences(full.export(), before.export()) if "memory" in name]
    assert memory == []
    assert "serving/items" in differences(full.export(), before.export())
    assert record.metrics["caught_up_windows"] >= 1
    post(world.settings, clicks(100, seed=2))
    settle(learner)
    assert registry.version(registry.head().tip).origin is Origin.INCREMENTAL


def test_a_full_retrain_first_learns_what_was_posted_before_it(world: World) -> None:
    post(world.settings, clicks(130))
    job = ask(world, JobMode.FULL)
    learner = world.learner()
    work_until(learner, ended(world, job))
    done = world.stores.jobs.get(job.job_id)
    assert (done.status, done.events) == (JobStatus.SUCCEEDED, 130)
    assert world.stores.registry.head().position == job.until


def test_a_full_retrain_of_nothing_succeeds(world: World) -> None:
    job = ask(world, JobMode.FULL)
    work_until(world.learner(), ended(world, job))
    done = world.stores.jobs.get(job.job_id)
    assert done.status is JobStatus.SUCCEEDED, done
    assert done.metrics == {"reason": "nothing has been learned yet"}
    assert (done.model_version, world.stores.registry.head().tip) == (1, 1)


def test_a_full_retrain_can_be_cancelled(world: World) -> None:
    post(world.settings, clicks(200))
    learner = world.learner()
    settle(learner)
    job = ask(world, JobMode.FULL)
    learner.turn()
    world.stores.jobs.cancel(job.job_id)
    work_until(learner, ended(world, job))
    assert world.stores.jobs.get(job.job_id).status is JobStatus.CANCELLED
    assert world.stores.registry.head().tip == 3


def test_a_rollback_ends_a_full_retrain(world: World) -> None:
    post(world.settings, clicks(300))
    learner = world.learner()
    settle(learner)
    job = ask(world, JobMode.FULL)
    learner.turn()
    world.stores.registry.activate(2)
    work_until(learner, ended(world, job))
    done = world.stores.jobs.get(job.job_id)
    assert done.status is JobStatus.FAILED
    assert "rollback" in str(done.error)


def test_a_full_retrain_left_by_a_dead_learner_fails_honestly(world: World) -> None:
    post(world.settings, clicks(100))
    learner = world.learner()
    settle(learner)
    job = ask(world, JobMode.FULL)
    learner.turn()
    learner.close()
    settle(world.learner())
    assert world.stores.jobs.get(job.job_id).status is JobStatus.FAILED


def test_another_dimension_serves_on_and_retrains_once(world: World) -> None:
    registry = world.stores.registry
    post(world.settings, clicks(200))
    settle(world.learner())
    learning = replace(world.settings.learning, embedding_dim=12)
    world.settings = world.settings.model_copy(update={"learning": learning})
    post(world.settings, clicks(100, seed=1))
    learner = world.learner()
    learner.turn()
    assert world.status.fields["state"] == "halted"
    assert registry.head().active == 3
    work_until(learner, lambda: registry.head().tip == 5)
    assert registry.version(4).origin is Origin.FULL
    assert registry.version(4).status is not VersionStatus.REJECTED
    assert world.state(5).config.embedding_dim == 12
    assert registry.version(5).metrics["positive"] == 100
    jobs, _ = world.stores.jobs.list(10)
    assert [job.mode for job in jobs] == [JobMode.FULL]


def with_dimension(world: World, embedding_dim: int) -> None:
    """As if the service were started again under other settings."""
    learning = replace(world.settings.learning, embedding_dim=embedding_dim)
    world.settings = world.settings.model_copy(update={"learning": learning})


def test_another_dimension_while_a_window_is_open_cuts_it_anew(world: World) -> None:
    registry = world.stores.registry
    post(world.settings, clicks(200))

    def stopped(*args: Any, **named: Any) -> Candidate:
        world.stop.set()
        return learn_window(*args, **named)

    world.learner().turn()
    with pytest.raises(Abandoned):
        world.learner(learn=stopped).turn()
    world.stop.clear()
    before = registry.window_in_work(2)
    assert before is not None
    with_dimension(world, 12)
    learner = world.learner()
    work_until(learner, lambda: registry.head().tip == 4)
    assert registry.version(3).origin is Origin.FULL
    window = registry.windows()[-1]
    assert (window.parent, window.start, window.end) == (3, before.start, before.end)
    assert registry.version(4).window_id == window.window_id


def test_a_full_retrain_that_came_to_nothing_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jobs and those that wait for it end with a sentence; learning goes on in the end."""
    registry, jobs = world.stores.registry, world.stores.jobs
    post(world.settings, clicks(100))
    settle(world.learner())
    with_dimension(world, 12)
    learner = world.learner()
    learner.turn()
    first = jobs.running(JobMode.FULL)[0]
    monkeypatch.setattr(learner._learning, "judge", refusing)
    work_until(learner, ended(world, first))
    post(world.settings, clicks(100, seed=1))
    asked = ask(world)
    for _ in range(3):
        learner.turn()
    assert [job.job_id for job in jobs.list(10)[0] if job.mode is JobMode.FULL] == [first.job_id]
    waited = jobs.get(asked.job_id)
    assert waited.status is JobStatus.FAILED
    assert "embedding_dim" in str(waited.error)
    assert "a test refuses" in str(waited.error)
    assert "a test refuses" in world.status.fields["detail"]
    monkeypatch.undo()
    post(world.settings, clicks(1_000, seed=2), batch=500)
    work_until(learner, lambda: registry.version(registry.head().tip).origin is Origin.FULL)
    settle(learner)
    assert registry.head().position == world.stores.log.last()
    seeds = [registry.version(version).metrics["seed"] for version in (3, 4)]
    assert seeds[0] != seeds[1], "the same again would be refused again"


def test_a_full_retrain_that_cannot_catch_up_fails_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(world.settings, clicks(100))
    learner = world.learner()
    settle(learner)
    job = ask(world, JobMode.FULL)

    def broken(*args: Any) -> None:
        raise CorruptEntry("the draw is gone")

    monkeypatch.setattr(learner._catch_up, "lesson", broken)
    work_until(learner, ended(world, job))
    done = world.stores.jobs.get(job.job_id)
    assert done.status is JobStatus.FAILED
    assert "the draw is gone" in str(done.error)
    post(world.settings, clicks(100, seed=1))
    settle(learner)
    assert world.stores.registry.head().tip == 3


def refusing(*args: Any) -> Verdict:
    return Verdict(False, REFUSED, "a test refuses", {}, {}, None)


def test_a_job_left_by_a_dead_learner_remembers_its_refusals(world: World) -> None:
    post(world.settings, clicks(300))
    job = ask(world)
    world.learner(learn=poisoned).turn()
    before = world.stores.jobs.get(job.job_id)
    assert (before.status, before.events) == (JobStatus.RUNNING, 100)
    settle(world.learner())
    done = world.stores.jobs.get(job.job_id)
    assert (done.status, done.events) == (JobStatus.REJECTED, 300)
    (refused,) = done.metrics["refused"]
    assert refused["window"]["window_id"] == world.stores.registry.windows()[0].window_id
    assert "finite" in str(done.error)


def test_a_window_that_a_dead_learner_left_in_work_counts(world: World) -> None:
    def killed(*args: Any, **named: Any) -> Candidate:
        raise Abandoned

    post(world.settings, clicks(200))
    job = ask(world)
    with pytest.raises(Abandoned):
        world.learner(learn=killed).turn()
    settle(world.learner())
    done = world.stores.jobs.get(job.job_id)
    assert (done.status, done.events) == (JobStatus.SUCCEEDED, 200)


def test_progress_is_measured_by_what_the_job_covers(world: World) -> None:
    post(world.settings, clicks(200))
    job = ask(world)
    post(world.settings, clicks(600, seed=1))
    world.learner().turn()
    assert world.stores.jobs.get(job.job_id).progress == 0.5
