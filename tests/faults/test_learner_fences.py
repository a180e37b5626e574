"""Two learners, rollbacks and foreign logs: what may not be committed is not."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from models.continual.window import Candidate, learn_window
from service.domain.interactions import START, Position
from service.domain.versions import JobMode, JobStatus, VersionStatus, WindowStatus
from service.learner import aftermath
from service.learner.rebase import rebase
from service.storage.keys import Keys
from tests.faults.crashing import start
from tests.service.learner.world import World, clicks, opened, post, settle, small_settings


@pytest.fixture
def world(tmp_path: Path, redis_url: str, sqlite_url: str, keys: Keys) -> Iterator[World]:
    settings = small_settings(tmp_path / "data", redis_url, sqlite_url, keys.namespace)
    with opened(settings) as world:
        yield world


def interrupting(act: Callable[[], object]) -> Callable[..., Candidate]:
    """An update in whose middle something happens, once."""
    pending = [act]

    def learn(*args: Any, **named: Any) -> Candidate:
        candidate = learn_window(*args, **named)
        while pending:
            pending.pop()()
        return candidate

    return learn


@pytest.mark.processes
def test_a_learner_that_slept_through_a_takeover_commits_nothing(world: World) -> None:
    """SIGSTOP in training, another takes over, SIGCONT."""
    post(world.settings, clicks(300))
    paused = start(world.settings)
    registry = world.stores.registry
    until = time.monotonic() + 30
    while world.stores.archive.end() == START and time.monotonic() < until:
        time.sleep(0.005)  # archived is what is opened; stopped earlier it may hold the database
    pid = paused.pid or 0
    os.kill(pid, signal.SIGSTOP)
    settle(world.learner())
    taken = registry.head()
    windows = registry.windows()
    os.kill(pid, signal.SIGCONT)
    paused.join(60)
    assert paused.exitcode == 0  # it stands by
    assert registry.head() == taken
    assert registry.windows() == windows
    assert [window.status for window in windows] == [WindowStatus.LEARNED] * 3
    world.state(taken.tip)


def test_a_fenced_learner_stands_by_and_takes_over_from_a_dead_one(world: World) -> None:
    one, other = world.learner(), world.learner()
    one.turn()
    other.turn()
    assert not one.turn()
    assert world.status.fields["state"] == "standby"
    world.status._heard_s -= 3_600.0  # nobody has been heard of for an hour
    post(world.settings, clicks(100))
    settle(one)
    assert world.stores.registry.head().tip == 2
    assert not other.turn()
    assert world.status.fields["state"] == "standby"


def test_a_rollback_during_training_fences_the_commit(world: World) -> None:
    registry = world.stores.registry
    post(world.settings, clicks(200))
    settle(world.learner())
    post(world.settings, clicks(100, seed=1))
    learner = world.learner(learn=interrupting(lambda: registry.activate(2, pin=True)))
    settle(learner)
    head = registry.head()
    assert (head.active, head.tip) == (2, 4)
    last = registry.version(4)
    assert (last.parent, last.status) == (2, VersionStatus.CANDIDATE)
    statuses = [window.status for window in registry.windows()]
    assert statuses == [WindowStatus.LEARNED, WindowStatus.QUARANTINED, WindowStatus.LEARNED]
    learned = {w.window_id for w in registry.windows(statuses=[WindowStatus.LEARNED])}
    assert world.stores.buffer.windows() == learned


def test_a_rollback_to_where_files_are_gone_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draws and samples of old versions are dropped; nothing needs them after a rollback."""
    monkeypatch.setattr(aftermath, "_FILES_KEPT", 1)
    registry = world.stores.registry
    post(world.settings, clicks(500))
    learner = world.learner()
    settle(learner)
    draws = [path.name for path in (world.stores.archive_dir / "draws").iterdir()]
    assert len(draws) == 2
    registry.activate(3)
    post(world.settings, clicks(100, seed=1))
    settle(learner)
    assert registry.version(registry.head().tip).parent == 3


def test_learning_again_after_a_rollback_reads_the_archive(world: World) -> None:
    registry = world.stores.registry
    post(world.settings, clicks(300))
    settle(world.learner())
    end = registry.head().position
    registry.activate(2, relearn=True)
    settle(world.learner())
    head = registry.head()
    assert head.position == end
    assert head.tip == 6
    windows = registry.windows()
    assert sum(window.events for window in windows) == 300
    assert {window.status for window in windows} == {WindowStatus.LEARNED}
    assert len(list(world.stores.archive.read())) == 300


def test_a_wiped_log_halts_learning_until_it_is_rebased(world: World) -> None:
    registry, client = world.stores.registry, world.stores.client
    post(world.settings, clicks(100))
    learner = world.learner()
    settle(learner)
    wipe(client, world.stores.keys)
    post(world.settings, clicks(100, seed=1))
    job, _ = world.stores.jobs.ask(JobMode.INCREMENTAL, "", world.stores.log.last())
    assert not learner.turn()
    assert world.status.fields["state"] == "halted"
    assert "freshet log rebase" in world.status.fields["detail"]
    assert world.stores.jobs.get(job.job_id).status is JobStatus.FAILED
    assert registry.head().tip == 2
    done = rebase(registry, world.stores.log, client, world.stores.keys)
    assert done.to_learn == 100
    settle(learner)
    assert registry.head().tip == 3


def test_a_registry_does_not_learn_from_the_log_of_another(
    world: World, tmp_path: Path, sqlite_template: Path
) -> None:
    post(world.settings, clicks(100))
    settle(world.learner())
    path = tmp_path / "other.sqlite"
    shutil.copyfile(sqlite_template, path)
    changed = {"data_dir": tmp_path / "other", "database_url": f"sqlite:///{path}"}
    with opened(world.settings.model_copy(update=changed)) as other:
        learner = other.learner()
        assert not learner.turn()
        assert other.status.fields["state"] == "halted"
        for words in ("another registry's", "FRESHET_NAMESPACE", "freshet log rebase"):
            assert words in other.status.fields["detail"]
        assert other.stores.registry.incarnation() is None
        assert other.stores.registry.windows() == []
        post(world.settings, clicks(100, seed=1))
        settle(world.learner())
        assert world.stores.registry.head().tip == 3

        rebase(other.stores.registry, other.stores.log, other.stores.client, other.stores.keys)
        post(world.settings, clicks(100, seed=2))
        settle(learner)
        assert other.stores.registry.head().tip == 2
        assert not world.learner().turn()
        assert "another registry's" in world.status.fields["detail"]


def test_a_copy_of_the_database_is_the_same_registry(world: World, tmp_path: Path) -> None:
    """A backup that is restored finds its log again."""
    post(world.settings, clicks(100))
    settle(world.learner())
    path = tmp_path / "restored.sqlite"
    shutil.copyfile(str(world.settings.database_url).removeprefix("sqlite:///"), path)
    restored = world.settings.model_copy(update={"database_url": f"sqlite:///{path}"})
    post(world.settings, clicks(100, seed=1))
    with opened(restored) as again:
        settle(again.learner())
        assert again.stores.registry.head().tip == 3


def test_a_log_restored_from_an_older_copy_halts_learning(world: World) -> None:
    registry, client, keys = world.stores.registry, world.stores.client, world.stores.keys
    post(world.settings, clicks(50))
    saved = client.dump(keys.log) or b""
    post(world.settings, clicks(50, seed=1))
    learner = world.learner()
    settle(learner)
    client.restore(keys.log, 0, saved, replace=True)
    assert not learner.turn()
    assert world.status.fields["state"] == "halted"
    assert "older copy" in world.status.fields["detail"]
    rebase(registry, world.stores.log, client, keys)
    assert world.stores.log.last() == registry.head().position
    post(world.settings, clicks(100, seed=2))
    settle(learner)
    assert registry.version(3).metrics["positive"] == 100


def test_ids_go_on_above_the_position_after_a_rebase(world: World) -> None:
    """A wiped log whose clock went back would give out ids that are never read."""
    post(world.settings, clicks(100))
    settle(world.learner())
    wipe(world.stores.client, world.stores.keys)
    rebase(world.stores.registry, world.stores.log, world.stores.client, world.stores.keys)
    position = world.stores.registry.head().position
    assert world.stores.log.last() == position
    with pytest.raises(redis.ResponseError, match="equal or smaller"):
        world.stores.client.xadd(world.stores.keys.log, {b"v": b"1"}, id="1-1")
    assert post(world.settings, clicks(1, seed=3)) > position > Position(0, 0)


def wipe(client: redis.Redis, keys: Keys) -> None:
    client.delete(*list(client.scan_iter(f"{keys.prefix}:*")))
