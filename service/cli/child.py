"""One process that is kept alive: started, watched, started again, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from service.cli.runtime import end_with_parent

_FIRST_DELAY_S: Final = 0.2
_LONGEST_DELAY_S: Final = 10.0
_STEADY_S: Final = 30.0


class Spawned(Protocol):
    """What the supervisor asks of a process, however it is started."""

    @property
    def pid(self) -> int | None: ...

    def spawn(self) -> None:
        """Start the process; returns at once."""

    def poll(self) -> int | None:
        """None while it runs (or was never started), its exit status afterwards."""


class Child:
    """A command of freshet in a process group of its own, which dies with its parent."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def spawn(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=end_with_parent(signal.SIGKILL),
        )

    def poll(self) -> int | None:
        return None if self._process is None else self._process.poll()


class Kept:
    """A process and when to start it again.

    The first restart comes after 0.2 s, each further one after twice the time, up to 10 s; a
    process that ran for 30 s starts from the beginning of that ladder.
    """

    def __init__(self, name: str, process: Spawned) -> None:
        self.name = name
        self.process = process
        self._delay_s = _FIRST_DELAY_S
        self._started_s = 0.0
        self._due_s: float | None = None

    def start(self) -> None:
        self._started_s, self._due_s = time.monotonic(), None
        self.process.spawn()

    def check(self) -> tuple[int, float] | None:
        """Look once: the exit status and the seconds until the restart, when it has just died."""
        now = time.monotonic()
        if self._due_s is not None:
            if now >= self._due_s:
                self.start()
            return None
        status = self.process.poll()
        if status is None:
            return None
        self.sweep()
        if now - self._started_s >= _STEADY_S:
            self._delay_s = _FIRST_DELAY_S
        delay_s, self._delay_s = self._delay_s, min(2 * self._delay_s, _LONGEST_DELAY_S)
        self._due_s = now + delay_s
        return status, delay_s

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone; harmless when it is gone."""
        if self.process.poll() is None and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def sweep(self) -> None:
        """Kill what is left of the process group, the process included."""
        if self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def await_end(self, until_s: float) -> None:
        """Wait for the end until the monotonic time `until_s`, then make it end."""
        while self.process.poll() is None and self.process.pid is not None:
            if time.monotonic() >= until_s:
                self.sweep()
            time.sleep(0.02)
        self.sweep()
