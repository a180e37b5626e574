"""A whole service as its user starts it: `freshet serve`, with a directory and port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

ROOT: Final = Path(__file__).parents[2]
TINY: Final = {
    "FRESHET_WINDOW__MAX_EVENTS": "200",
    "FRESHET_WINDOW__MAX_AGE_S": "1.5",
    "FRESHET_SERVING__DRAIN_S": "0.3",
    "FRESHET_SERVING__POLL_S": "0.1",
    "FRESHET_LEARNER__THREADS": "1",
    "FRESHET_LOG_FORMAT": "json",
    "OMP_NUM_THREADS": "1",
}
"""Windows so small that versions come within seconds."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_true(what: str, test: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until `test` holds.

    Raises:
        TimeoutError: it did not in time; the message names `what`.
    """
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        if test():
            return
        time.sleep(0.05)
    raise TimeoutError(f"not within {timeout_s} s: {what}")


def command_line(pid: int) -> str:
    """What a process runs; empty when it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid: int) -> bool:
    return command_line(pid) != ""


class Running:
    """A running service and the ways to trouble it."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, data_dir: Path) -> None:
        self.process = process
        self.url = url
        self.data_dir = data_dir
        self.client = httpx.Client(base_url=url, timeout=10.0)

    def parts(self) -> dict[str, int]:
        """The pids of the supervisor's children, by part."""
        found = {}
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for pid in map(int, children.split()):
            command = command_line(pid)
            for name, sign in (
                ("api", "service api"),
                ("learner", "service learner"),
                ("memory", "service memory"),
                ("redis", "-server "),
            ):
                if sign in command:
                    found[name] = pid
        return found

    def kill(self, part: str) -> int:
        """Kill a part hard; its pid."""
        pid = self.parts()[part]
        os.kill(pid, signal.SIGKILL)
        return pid

    def await_part(self, part: str, other_than: int) -> None:
        await_true(
            f"another {part}", lambda: self.parts().get(part, other_than) != other_than, 20.0
        )

    def is_ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = self.client.get(path, params=params)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.client.post(path, json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def versions(self) -> list[dict[str, Any]]:
        """All versions, newest first."""
        found: list[dict[str, Any]] = self.get("/v1/admin/models")["models"]
        return found

    def active(self) -> int:
        return next(int(row["version"]) for row in self.versions() if row["status"] == "active")

    def learned_all(self) -> bool:
        try:
            lag: int | None = self.get("/v1/admin/status")["event_log"]["lag_events"]
        except httpx.HTTPError:
            return False
        return lag == 0

    def stop(self, number: signal.Signals = signal.SIGINT, timeout_s: float = 40.0) -> int:
        """End it as Ctrl-C does; the exit status."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)


@contextmanager
def serving(
    data_dir: Path, *, port: int | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A service with an embedded log and SQLite, ended at the end whatever happened."""
    port = free_port() if port is None else port
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
    log = data_dir.parent / f"{data_dir.name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", str(port)],
            env={**clean, **TINY, "FRESHET_DATA_DIR": str(data_dir), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
        )
    running = Running(process, f"http://127.0.0.1:{port}", data_dir)
    try:
        await_true(
            f"the service is ready; its log is {log}",
            lambda: running.is_ready() or process.poll() is not None,
        )
        if process.poll() is not None:
            raise RuntimeError(f"the service ended:\n{log.read_text()[-3000:]}")
        yield running
    finally:
        running.client.close()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def two_tastes(run: str, users: int = 40, clicks: int = 12) -> list[dict[str, str]]:
    """Users of even number click items of one side, the others those of the other side."""
    return [
        {
            "user_id": f"{run}-{'AB'[user % 2]}{user}",
            "item_id": f"{run}-{'AB'[user % 2]}-item{(user // 2 + click * 7) % 30}",
            "event_id": uuid.uuid4().hex,
        }
        for user in range(users)
        for click in range(clicks)
    ]
