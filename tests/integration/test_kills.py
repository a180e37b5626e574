"""Parts are killed hard; each comes back, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.integration.running import (
    ROOT,
    Running,
    await_true,
    free_port,
    is_alive,
    serving,
    two_tastes,
)

pytestmark = pytest.mark.processes


def post_through(service: Running, events: list[dict[str, str]]) -> None:
    """Send until it is acknowledged, with the same ids, as the contract says."""

    def acknowledged() -> bool:
        try:
            return service.client.post("/v1/events", json={"events": events}).status_code == 202
        except httpx.HTTPError:
            return False

    await_true("the events are acknowledged", acknowledged)


def test_each_part_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        users = 0
        for part in ("learner", "memory", "api", "redis"):
            for _ in range(2):
                post_through(service, two_tastes(f"r{users}", users=10))
                users += 1
            killed = service.kill(part)
            post_through(service, two_tastes(f"r{users}", users=10))
            users += 1
            service.await_part(part, killed)
            await_true("the service is ready again", service.is_ready)
        await_true("all is learned", service.learned_all, 90.0)
        for run in range(users):
            body = service.get(f"/v1/users/r{run}-A0/events")
            assert len(body["events"]) == 12, f"run {run}"
        assert service.active() > 1
        status = service.get("/v1/admin/status")
        assert status["event_log"]["dead_letters"] == 0
        assert status["learner"]["state"] in ("waiting", "learning")
        await_true("all is remembered", lambda: remembered(service) == 12 * 10 * users)
        await_true("the mirror has it all", lambda: mirrored(service) == 60 * users)


def test_a_signal_leaves_no_process_and_a_later_start_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        post_through(service, two_tastes("kept", users=10))
        end(service, signal.SIGINT)
    with serving(tmp_path / "data") as service:
        assert len(service.get("/v1/users/kept-A0/events")["events"]) == 12
        await_true("what was not learned is learned", service.learned_all)
        end(service, signal.SIGTERM)


def remembered(service: Running) -> int:
    """Events that the fast memory has counted."""
    memory = service.get("/v1/admin/status")["memory"] or {}
    found: int = memory.get("events", -1)
    return found


def mirrored(service: Running) -> int:
    """Items in the replica's mirror of it."""
    found: int = service.get("/v1/admin/status")["mirror"]["items"]
    return found


def end(service: Running, number: signal.Signals) -> None:
    """End the service and see that its parts are gone with it."""
    parts = service.parts()
    assert set(parts) == {"api", "learner", "memory", "redis"}
    assert service.stop(number) == 0
    assert not [name for name, pid in parts.items() if is_alive(pid)]


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_one_directory_one_port_and_no_orphan(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        port = service.url.rsplit(":", 1)[1]
        same_directory = refused(tmp_path / "data", free_port())
        assert "is served already" in same_directory
        assert str(service.process.pid) in same_directory
        assert "--port" in refused(tmp_path / "other", int(port))
        parts = service.parts()
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
        await_true("no orphan", lambda: not any(map(is_alive, parts.values())), 20.0)


def refused(data_dir: Path, port: int) -> str:
    """What `serve` says when it will not start."""
    said = subprocess.run(
        [sys.executable, "-m", "service", "serve"],
        env={**os.environ, "FRESHET_DATA_DIR": str(data_dir), "FRESHET_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=60.0,
        cwd=ROOT,
    )
    assert said.returncode == 2
    assert said.stderr.count("\n") == 1, said.stderr
    return said.stderr


def test_a_public_address_without_a_key_ends_the_service_with_a_sentence(tmp_path: Path) -> None:
    began_s = time.monotonic()
    said = subprocess.run(
        [sys.executable, "-m", "service", "serve"],
        env={
            **os.environ,
            "FRESHET_HOST": "0.0.0.0",
            "FRESHET_PORT": str(free_port()),
            "FRESHET_DATA_DIR": str(tmp_path / "data"),
        },
        capture_output=True,
        text=True,
        timeout=120.0,
        cwd=ROOT,
    )
    assert said.returncode == 2, said.stderr
    assert "key" in said.stderr
    assert time.monotonic() - began_s < 60.0
