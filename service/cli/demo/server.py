"""The service under the demo: `freshet serve` as a child, with windows small enough to watch."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import IO, Final, Self

import httpx

from service.cli.runtime import end_with_parent, environment_of
from service.errors import SettingsError
from service.settings import Settings

_READY_S: Final = 300.0
_STOP_S: Final = 45.0
_VISIBLE: Final = {
    "FRESHET_WINDOW__MAX_AGE_S": "5",
    "FRESHET_LEARNING__PROBE_SHARE": "0.03",
    "FRESHET_SERVING__DRAIN_S": "0.2",
    "FRESHET_SERVING__POLL_S": "0.25",
}
"""What the demo sets unless the environment does: windows, probes and swaps that are seen."""


class Server:
    """The service of the demo; a context manager that ends it, whatever happens.

    Args:
        settings: whose host, port and data directory are served.
        window_events: size of a window, unless the environment sets it.

    Raises:
        SettingsError: it does not come up; the message carries the last lines of its log.
    """

    def __init__(self, settings: Settings, window_events: int) -> None:
        self._settings = settings
        self._window_events = window_events
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.url = f"http://{settings.host}:{settings.port}"
        self.log_file = settings.data_dir / "serve.log"

    def __enter__(self) -> Self:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self._log = self.log_file.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"],
            env=demo_environment(self._settings, self._window_events),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            process_group=0,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )
        try:
            self._await_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_lines(self, count: int = 5) -> str:
        """The end of the service's log."""
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-count:])

    def _await_ready(self) -> None:
        until_s = time.monotonic() + _READY_S
        while time.monotonic() < until_s and self.is_running():
            try:
                if httpx.get(f"{self.url}/readyz", timeout=1.0).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise SettingsError(f"the service did not come up:\n{self.last_lines()}")

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._log is not None:
            self._log.close()


def demo_environment(settings: Settings, window_events: int) -> dict[str, str]:
    """The environment of the demo's service: the demo's own wishes give way to the user's."""
    wishes = {**_VISIBLE, "FRESHET_WINDOW__MAX_EVENTS": str(window_events)}
    return {**wishes, **environment_of(settings)}
