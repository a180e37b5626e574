"""The service under the demo: `freshet serve` as a child, with windows small enough to watch."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from service.cli.claims import check_port, free_port, reachable, serving_lock, url_of
from service.cli.runtime import end_with_parent, environment_of
from service.cli.supervisor import ready_line
from service.errors import SettingsError
from service.settings import Settings

_READY_S: Final = 300.0
_STOP_S: Final = 45.0
_LOOK_S: Final = 0.1
_VISIBLE: Final = {
    "FRESHET_WINDOW__MAX_AGE_S": "5",
    "FRESHET_LEARNING__PROBE_SHARE": "0.03",
    "FRESHET_SERVING__DRAIN_S": "0.2",
    "FRESHET_SERVING__POLL_S": "0.25",
}
"""What the demo sets unless the environment does: windows, probes and swaps that are seen."""


class Server:
    """The service of the demo; a context manager that ends it, whatever happens.

    The port and the directory are looked at before anything is touched. The demo holds the
    directory by a lock of its own, because that of the service is for the child to take.

    Args:
        settings: of the demo's own; see `own_settings`.
        window_events: size of a window, unless the environment sets it.

    Raises:
        SettingsError: the directory or the port belongs to another.
    """

    def __init__(self, settings: Settings, window_events: int) -> None:
        self._settings = settings
        self._window_events = window_events
        self._process: subprocess.Popen[bytes] | None = None
        self._held = ExitStack()
        self.url = url_of(reachable(settings.host), settings.port)
        self.log_file = settings.data_dir / "serve.log"

    def __enter__(self) -> Self:
        with ExitStack() as held:
            held.enter_context(serving_lock(self._settings.data_dir, "demo.lock"))
            with serving_lock(self._settings.data_dir):
                check_port(self._settings.host, self._settings.port)
                log = held.enter_context(self.log_file.open("wb"))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                env=demo_environment(self._settings, self._window_events),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=end_with_parent(signal.SIGTERM),
            )
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._held:
            self._end()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_lines(self, count: int = 5) -> str:
        """The end of the service's log."""
        return "\n".join(self._lines()[-count:])

    def await_ready(self, cancelled: Callable[[], bool]) -> bool:
        """Wait until this very service says that it is ready; False when cancelled before.

        Whether something answers on the port would not tell: it may be another service.

        Raises:
            SettingsError: it does not come up; the message carries the last lines of its log.
        """
        until_s = time.monotonic() + _READY_S
        while time.monotonic() < until_s and not cancelled():
            if ready_line(self._settings) in self._lines():
                return True
            if not self.is_running():
                break
            time.sleep(_LOOK_S)
        if cancelled():
            return False
        raise SettingsError(f"the service did not come up:\n{self.last_lines()}")

    def _lines(self) -> list[str]:
        return self.log_file.read_text(errors="replace").strip().splitlines()

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def own_settings(settings: Settings, directory: Path) -> Settings:
    """The settings of a demo in `directory`: no store of another's, and a port that is known."""
    own = {
        "data_dir": directory.absolute(),
        "port": settings.port or free_port(settings.host),
        "redis_url": None,
        "database_url": None,
    }
    return settings.model_copy(update=own)


def demo_environment(settings: Settings, window_events: int) -> dict[str, str]:
    """The environment of the demo's service: the demo's own wishes give way to the user's."""
    wishes = {**_VISIBLE, "FRESHET_WINDOW__MAX_EVENTS": str(window_events)}
    return {**wishes, **environment_of(settings)}
