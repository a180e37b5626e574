"""The learner as a process: signals, and stores that go away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from models.config import LearningConfig
from models.continual.window import Candidate, learn_window
from service.domain.versions import WindowStatus
from service.learner.learner import Learner
from service.learner.learning import Abandoned
from service.learner.process import follow, warn_of_unused
from service.settings import Settings
from tests.conftest import ValkeyServer, start_valkey
from tests.service.learner.world import World, clicks, opened, post, settle, small_settings

_RUN = """
import sys
from service.learner.process import run
from service.settings import Settings
run(Settings.model_validate_json(sys.argv[1]))
"""


def await_true(test: Callable[[], bool], timeout_s: float = 60.0) -> None:
    until_s = time.monotonic() + timeout_s
    while not test():
        if time.monotonic() > until_s:
            raise TimeoutError("not in time")
        time.sleep(0.02)


@contextmanager
def following(world: World) -> Iterator[None]:
    """The process's loop in a thread."""
    world.status.start()
    thread = threading.Thread(
        target=follow, args=(world.learner, world.status, world.stop, world.settings)
    )
    thread.start()
    try:
        yield
    finally:
        world.stop.set()
        thread.join(30)
        world.status.stop()
        assert not thread.is_alive()


def test_parameters_without_their_method_are_warned_of() -> None:
    learning = LearningConfig(methods=("l2",), parameters={"ewc": {"strength": 2.0}, "l2": {}})
    with capture_logs() as said:
        warn_of_unused(Settings(learning=learning))
    assert [(line["log_level"], line["method"]) for line in said] == [("warning", "ewc")]


@pytest.mark.parametrize(
    ("learning", "idle"),
    [
        ({"methods": ("distillation",)}, ["distillation"]),
        ({"methods": ("distillation", "online-ewc")}, ["distillation"]),
        ({"methods": ("distillation", "generative-replay")}, []),
        ({"methods": ("distillation",), "parameters": {"distillation": {"on": "new"}}}, []),
        ({"methods": ("soft-sharing",), "type_heads": ("click",)}, ["soft-sharing"]),
        ({"methods": ("soft-sharing",), "type_heads": ("click", "purchase")}, []),
        ({}, []),
    ],
)
def test_methods_that_do_nothing_as_they_are_set_are_warned_of(
    learning: dict[str, Any], idle: list[str]
) -> None:
    with capture_logs() as said:
        warn_of_unused(Settings(learning=LearningConfig(**learning)))
    assert [(line["log_level"], line["method"]) for line in said] == [
        ("warning", name) for name in idle
    ]


@pytest.mark.processes
def test_sigterm_ends_it_within_seconds(world: World) -> None:
    post(world.settings, clicks(100))
    process = subprocess.Popen([sys.executable, "-c", _RUN, world.settings.model_dump_json()])
    try:
        await_true(lambda: world.stores.registry.head().tip == 2)
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert time.monotonic() - began_s < 10
    finally:
        process.kill()
        process.wait()


def test_a_window_in_training_is_abandoned_and_done_again(world: World) -> None:
    post(world.settings, clicks(100))

    def stopped(*args: Any, **named: Any) -> Candidate:
        world.stop.set()
        return learn_window(*args, **named)

    with pytest.raises(Abandoned):
        settle(world.learner(learn=stopped))
    registry = world.stores.registry
    window = registry.window_in_work(1)
    assert window is not None
    assert registry.head().tip == 1
    world.stop.clear()
    settle(world.learner())
    assert registry.version(2).window_id == window.window_id


def test_only_deaths_count_against_a_window(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops, and tries while a store is away, are no deaths: the window is learned in the end."""
    few = world.settings.learner.model_copy(update={"max_attempts": 1})
    world.settings = world.settings.model_copy(update={"learner": few})
    post(world.settings, clicks(100))

    def stopped(*args: Any, **named: Any) -> Candidate:
        world.stop.set()
        return learn_window(*args, **named)

    for _ in range(3):
        learner = world.learner(learn=stopped)
        follow(lambda learner=learner: learner, world.status, world.stop, world.settings)  # type: ignore[misc]
        world.stop.clear()
    learner = world.learner()
    with monkeypatch.context() as full_disk:
        full_disk.setattr(world.stores.checkpoints, "write", no_room)
        for _ in range(3):
            with pytest.raises(OSError, match="no space"):
                learner.turn()
            learner.forget()
    settle(learner)
    assert world.stores.registry.windows()[0].status is WindowStatus.LEARNED


def no_room(*args: Any) -> str:
    raise OSError("no space left on device")


@pytest.mark.processes
def test_it_waits_for_a_redis_that_went_away(
    tmp_path: Path, own_valkey: ValkeyServer, sqlite_url: str
) -> None:
    settings = small_settings(tmp_path / "data", own_valkey.url, sqlite_url, "away")
    with opened(settings) as world, following(world):
        post(settings, clicks(100))
        registry = world.stores.registry
        await_true(lambda: registry.head().tip == 2)
        own_valkey.stop()
        await_true(lambda: bool(world.status.fields["state"] == "down"))
        options = ("--appendonly", "yes", "--appendfsync", "always")
        again = start_valkey(own_valkey.directory, *options, port=own_valkey.port)
        try:
            post(settings, clicks(100, seed=1))
            await_true(lambda: registry.head().tip == 3)
            world.stop.set()
            assert [one.status for one in registry.windows()] == [WindowStatus.LEARNED] * 2
        finally:
            again.stop()


def test_it_waits_for_a_database_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    path = Path(str(settings.database_url).removeprefix("sqlite:///"))
    away = path.rename(path.with_suffix(".away"))
    path.mkdir()  # a directory where the database should be: it cannot be opened
    with opened(settings) as world, following(world):
        await_true(lambda: bool(world.status.fields["state"] == "down"))
        path.rmdir()
        away.rename(path)
        post(settings, clicks(100))
        await_true(lambda: world.stores.registry.head().tip == 2)
        assert world.stores.registry.head().position == world.stores.log.last()


def test_its_document_says_where_it_stands_for_a_while(world: World) -> None:
    post(world.settings, clicks(130))
    learner = world.learner()
    settle(learner)
    world.status.beat()
    found = world.stores.client.get(world.stores.keys.learner)
    assert found is not None
    said = msgspec.json.decode(found)
    assert said["state"] == "waiting"
    assert said["pid"] == os.getpid()
    assert said["version"] == 2
    assert said["lag_events"] == 30
    assert said["next_update_ms"] > 0
    assert said["dedupe_ids"] == 100
    assert said["buffer"] > 0
    assert said["last_update"]["accepted"]
    assert said["last_update"]["positions_per_s"] > 0
    assert 0 < int(world.stores.client.pttl(world.stores.keys.learner)) <= 10_000


def test_the_learner_needs_nothing_of_a_learner_before_it(world: World) -> None:
    """Everything in memory can be read again: a new one after each turn ends the same."""
    post(world.settings, clicks(300))

    def fresh() -> Learner:
        return world.learner()

    while fresh().turn():
        pass
    assert world.stores.registry.head().tip == 4
