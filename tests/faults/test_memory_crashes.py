"""The fast memory's process dies at every step, and at random: what is kept is as if it had not."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from service.memory.steps import RENEWING, STEPS
from service.settings import Settings
from service.storage.keys import Keys
from tests.service.learner.world import clicks, post
from tests.service.memory.world import assert_alike, opened, settings_of, settle, told

DIED = 137

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.faults.test_memory_crashes"])


def _keep(settings: dict[str, Any], place: str, occasion: int) -> None:
    visits = {"left": occasion}

    def reached(step: str) -> None:
        if step == place:
            visits["left"] -= 1
            if visits["left"] == 0:
                os._exit(DIED)

    with opened(Settings(_env_file=None, **settings)) as world:
        settle(world.keeper(reached=reached))


def keep_and_die(settings: Settings, place: str, occasion: int) -> int | None:
    """Keep the memory in a process that dies at the how-manieth time it comes to a place."""
    process = _processes.Process(
        target=_keep, args=(settings.model_dump(mode="json"), place, occasion), daemon=True
    )
    process.start()
    process.join(60)
    return process.exitcode


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, sqlite_url: str, keys: Keys) -> Settings:
    wanted: dict[str, Any] = {"lesson_share": 1.0, "lessons_per_batch": 1_000, "batch_events": 40}
    return settings_of(tmp_path / "data", redis_url, sqlite_url, keys.namespace, **wanted)


@pytest.mark.parametrize("place", STEPS)
def test_a_death_at_a_step_changes_nothing(settings: Settings, place: str) -> None:
    events = clicks(200)
    post(settings, events)
    occasion = 1 if place == STEPS[0] else 3
    assert keep_and_die(settings, place, occasion) == DIED
    post(settings, events[100:150])  # repeats of what was counted, and of what was not
    with opened(settings) as world:
        settle(world.keeper())
        assert_alike(world.stored(), world.expected(events))
        lessons = told(world)
        client, memory = world.stores.client, world.stores.keys.memory
        client.delete(*client.scan_iter(f"{memory}*"))
        settle(world.keeper())
        assert told(world) == lessons, "as of a memory that was never interrupted"
        assert len(lessons) > 100


@pytest.mark.parametrize("place", RENEWING)
def test_a_death_at_a_step_of_a_compaction_leaves_a_whole_memory(
    settings: Settings, place: str
) -> None:
    """The first renewal makes the empty memory, the second compacts."""
    few = settings.memory.model_copy(update={"max_items": 15, "batch_events": 10_000})
    settings = settings.model_copy(update={"memory": few})
    events = clicks(200)
    post(settings, events)
    assert keep_and_die(settings, place, 2) == DIED
    with opened(settings) as world:
        settle(world.keeper())
        memory, items = world.stored()
        whole, others = world.expected(events)
        twin, kept = whole.compacted(13)
        assert_alike((memory, items), (twin, type(items)(others.id(row) for row in kept)))
        state = world.stores.memory.state()
        assert state is not None
        assert state.events == 200
        names = list(world.stores.client.scan_iter(f"{world.stores.keys.memory}:*:items"))
        assert names == [world.stores.keys.memory_items(state.generation).encode()]


def test_kills_at_random_lose_nothing_and_count_nothing_twice(settings: Settings) -> None:
    seed = time.time_ns() % 2**32
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    events = clicks(600)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")},
        "FRESHET_DATA_DIR": str(settings.data_dir),
        "FRESHET_REDIS_URL": str(settings.redis_url),
        "FRESHET_DATABASE_URL": str(settings.database_url),
        "FRESHET_NAMESPACE": settings.namespace,
        "FRESHET_MEMORY__COMMIT_S": "0.01",
        "FRESHET_MEMORY__BATCH_EVENTS": "10",
        **{
            f"FRESHET_MEMORY__{name.upper()}": str(getattr(settings.memory, name))
            for name in ("max_items", "width", "sessions", "session_length")
        },
        "OMP_NUM_THREADS": "1",
    }
    with opened(settings) as world:
        world.stores.registry.secret()
        for start in range(0, 600, 200):
            process = subprocess.Popen([sys.executable, "-m", "service", "memory"], env=environment)
            for at in range(start, start + 200, 20):
                post(settings, events[at : at + 20], batch=5)
                post(settings, events[max(at - 10, 0) : at + 5], batch=15)
            before = world.stores.memory.state()
            until = time.monotonic() + 20
            while world.stores.memory.state() == before and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(chance.random() * 0.2)
            process.send_signal(signal.SIGKILL)
            process.wait()
        settle(world.keeper())
        assert_alike(world.stored(), world.expected(events))
        state = world.stores.memory.state()
        assert state is not None
        assert state.events == 600
