"""Stores that do not agree: learners that slept, a wiped replay buffer, files that nobody needs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest

from models.interactions import Sample
from service.domain.interactions import START
from service.domain.versions import JobMode, WindowStatus
from service.learner import aftermath
from service.learner.full import Request
from service.settings import Settings
from service.storage.archive import Archive
from tests.service.learner.world import World, clicks, opened, post, settle


@pytest.mark.parametrize("rolled_back", [False, True])
def test_a_learner_that_slept_in_a_write_doubles_nothing(world: World, rolled_back: bool) -> None:
    """Another takes over, with more events in its window and perhaps a rollback in between."""
    registry, stores = world.stores.registry, world.stores
    post(world.settings, clicks(30))
    patient = world.settings
    window = world.settings.window.model_copy(update={"max_age_s": 0.001})
    world.settings = world.settings.model_copy(update={"window": window})

    def taken_over(step: str) -> None:
        in_work = any((stores.archive_dir / "events").glob(".tmp-*"))
        if step != "rename" or not in_work or stores is world.stores:
            return
        world.settings, world.stores = patient, stores
        post(world.settings, clicks(170, seed=1))
        if rolled_back:
            registry.activate(1, relearn=True)
        settle(world.learner())

    world.stores = replace(stores, archive=Archive(stores.archive_dir, step=taken_over))
    settle(world.learner())
    assert world.stores is stores, "nobody took over"
    ids = [row.interaction.event_id for row in stores.archive.read()]
    assert len(ids) == len(set(ids))
    learned = registry.windows(statuses=[WindowStatus.LEARNED])
    assert stores.archive.count(START, learned[-1].end) == sum(one.events for one in learned)
    assert [one.events for one in learned] == ([80, 100] if rolled_back else [30, 100])


def wipe_buffer(world: World) -> None:
    for key in world.stores.client.scan_iter(f"{world.stores.keys.prefix}:replay:*"):
        world.stores.client.delete(key)


def held(world: World) -> list[Sample]:
    return world.stores.buffer.samples()


@pytest.mark.parametrize("on_file", [True, False])
def test_a_wiped_buffer_is_rebuilt_from_the_archive(world: World, on_file: bool) -> None:
    post(world.settings, clicks(600, users=120))
    settle(world.learner())
    before, windows = held(world), world.stores.buffer.windows()
    assert len(before) == world.settings.learning.replay_size
    wipe_buffer(world)
    if not on_file:
        world.stores.archive.keep_draws(set())
    settle(world.learner())
    assert held(world) == before
    assert world.stores.buffer.windows() == windows


def test_a_budget_in_bytes_is_kept_to_and_rebuilt_to(settings: Settings) -> None:
    learning = replace(settings.learning, replay_bytes=3_000)
    with opened(settings.model_copy(update={"learning": learning})) as world:
        post(settings, clicks(300, users=120))
        settle(world.learner())
        before = held(world)
        assert 2_500 < world.stores.buffer.stored_bytes() <= 3_000
        assert len(before) < learning.replay_size
        wipe_buffer(world)
        settle(world.learner())
        assert held(world) == before


def test_after_a_rollback_the_buffer_holds_what_the_version_knew(world: World) -> None:
    post(world.settings, clicks(400, users=120))
    settle(world.learner())
    before, version = held(world), world.stores.registry.head().tip
    post(world.settings, clicks(300, seed=1, users=120))
    settle(world.learner())
    last = world.stores.registry.head().tip
    after = held(world)
    assert after != before
    world.stores.registry.activate(version)
    settle(world.learner())
    assert held(world) == before
    world.stores.registry.activate(last)
    settle(world.learner())
    assert held(world) == after


def test_a_buffer_restored_from_an_older_copy_is_caught_up(world: World) -> None:
    client, prefix = world.stores.client, world.stores.keys.prefix
    post(world.settings, clicks(200, users=120))
    settle(world.learner())
    copy = {key: client.dump(key) or b"" for key in client.scan_iter(f"{prefix}:replay:*")}
    post(world.settings, clicks(300, seed=1, users=120))
    settle(world.learner())
    after = held(world)
    for key, value in copy.items():
        client.restore(key, 0, value, replace=True)
    settle(world.learner())
    assert held(world) == after


def test_files_that_no_recent_version_names_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of versions that came and went between two starts, and of windows undone."""
    post(world.settings, clicks(400))
    settle(world.learner())
    draws = world.stores.archive_dir / "draws"
    world.stores.archive.write_draw("of-a-refused-window", [])
    assert len(list(draws.iterdir())) > 5
    monkeypatch.setattr(aftermath, "_FILES_KEPT", 2)
    post(world.settings, clicks(100, seed=1))
    settle(world.learner())
    assert len(list(draws.iterdir())) == 4


@pytest.mark.processes
def test_the_child_of_a_learner_that_is_gone_leaves_nothing(world: World) -> None:
    post(world.settings, clicks(100))
    learner = world.learner()
    settle(learner)
    job, _ = world.stores.jobs.ask(JobMode.FULL, "", START)
    request = learner._retrain._request(job, world.stores.registry.head(), 1)
    work_dir = world.stores.work_dir / job.job_id
    assert request.work_dir == str(work_dir)
    work_dir.mkdir(parents=True)
    gone = subprocess.Popen(["true"])
    gone.wait()
    orphan: Request = msgspec.structs.replace(request, parent_pid=gone.pid)
    done = subprocess.run(
        [sys.executable, "-m", "service.learner.full"],
        input=msgspec.json.encode(orphan),
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert list(work_dir.iterdir()) == []
