"""One demo from the start of the service to its end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import httpx
from rich.console import Console
from rich.live import Live
from rich.panel import Panel

from service.cli.demo import view
from service.cli.demo.feeder import Feeder, check_directory
from service.cli.demo.guest import Guest
from service.cli.demo.observer import Observer
from service.cli.demo.server import Server
from service.cli.demo.source import Source
from service.errors import SettingsError, Unavailable
from service.settings import Settings

_FRAME_S: Final = 0.5
_LINE_S: Final = 5.0
_LAST_LESSON_S: Final = 3_600.0
_AUTO_RATE: Final = 2_000.0
_WINDOWS_AHEAD: Final = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a source is streamed."""

    rate: float | None
    """Events per second at most; None is without limit."""
    waits: bool
    """Whether the stream waits for the learner when that falls some windows behind."""


def read_pace(text: str) -> Pace:
    """A pace from the command line: `auto`, `max`, or events per second.

    Raises:
        SettingsError: it is none of these.
    """
    if text in ("auto", "max"):
        return Pace(_AUTO_RATE if text == "auto" else None, waits=text == "auto")
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.0 < rate < 1e9:
        raise SettingsError(f"--rate: auto, max, or a number above 0; got {text!r}")
    return Pace(rate, waits=False)


def window_size(total: int | None) -> int:
    """Events in a window, so that a file makes about a hundred of them and each can be seen."""
    return max(1_000, min(10_000, (total or 0) // 75))


class Demo:
    """Streams a source into a service of its own and shows what comes of it.

    Args:
        settings: the demo's host, port and data directory.
        source: what is streamed.
        pace: how fast, and whether learning is waited for.
        seconds: how long to stream once the service is ready; None is until Ctrl-C.
        leave: end with the source instead of serving on; so does an output that is no terminal.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        *,
        pace: Pace,
        seconds: float | None,
        leave: bool,
    ) -> None:
        self._settings = settings
        self._source = source
        self._pace = pace
        self._seconds = seconds
        self._console = Console()
        self._leave = leave or not self._console.is_terminal
        self._stopped = False
        self._began_s = time.monotonic()

    def run(self) -> None:
        """Run to the end; whatever ends it, the service has ended, too.

        Raises:
            SettingsError: the service does not come up, or refuses what the source holds.
            BadStream: the source has become unreadable.
        """
        source, window_events = self._source, window_size(self._source.total)
        check_directory(self._state, source)
        with _ending_softly(self._stop), Server(self._settings, window_events) as server:
            self._say(f"streaming {source.name}" + (f" ({source.note})" if source.note else ""))
            self._say(f"starting the service in {self._settings.data_dir}, with stores of its own")
            if server.await_ready(lambda: self._stopped):
                self._say(f"it listens on {server.url}; its log is {server.log_file}")
                self._stream(server, _WINDOWS_AHEAD * window_events)
        self._say("nothing is left running; the same command goes on from here")

    @property
    def _state(self) -> Path:
        """Where it is kept how far the source has been streamed."""
        return self._settings.data_dir / "demo"

    def _stop(self) -> None:
        self._stopped = True

    def _stream(self, server: Server, most_ahead: int) -> None:
        self._began_s = time.monotonic()
        observer = Observer(server.url)

        def must_wait() -> bool:
            return self._pace.waits and (observer.latest.lag_events or 0) > most_ahead

        def learned() -> int:
            return feeder.next_number - (observer.latest.lag_events or 0)

        feeder = Feeder(server.url, self._source, self._state, self._pace.rate, must_wait)
        guest = Guest(server.url, feeder, learned)
        stage = view.Stage(
            server.url, self._source.name, self._source.total, feeder, observer, guest
        )
        threads = (feeder, observer, guest)
        for thread in threads:
            thread.start()
        try:
            self._show(stage, feeder, server)
            if feeder.error is not None:
                raise feeder.error
            if feeder.refused is not None:
                raise SettingsError(f"the service refuses the events: {feeder.refused}")
            if not feeder.is_alive() and not self._is_over():
                self._conclude(stage, observer, server)
        finally:
            for thread in threads:
                thread.stop()
            for thread in threads:
                thread.join(timeout=15.0)

    def _show(self, stage: view.Stage, feeder: Feeder, server: Server) -> None:
        """Show scenes until the stream or the time is over."""
        if self._console.is_terminal:
            self._show_live(stage, feeder, server)
        else:
            self._show_lines(stage, feeder, server)

    def _show_live(self, stage: view.Stage, feeder: Feeder, server: Server) -> None:
        def picture() -> Panel:
            return view.panel(stage.scene(), *self._console.size)

        with Live(picture(), console=self._console, screen=False) as live:
            while self._goes_on(server) and feeder.is_alive():
                time.sleep(_FRAME_S)
                live.update(picture())

    def _show_lines(self, stage: view.Stage, feeder: Feeder, server: Server) -> None:
        shown_s, visit = 0.0, None
        goes_on = True
        while goes_on:
            goes_on = self._goes_on(server) and feeder.is_alive()
            if not goes_on or time.monotonic() - shown_s >= _LINE_S:
                shown_s, scene = time.monotonic(), stage.scene()
                self._say(view.line(scene))
                if scene.visit is not None and scene.visit is not visit:
                    visit = scene.visit
                    self._say(view.guest_line(visit))
            if goes_on:
                time.sleep(_FRAME_S)

    def _conclude(self, stage: view.Stage, observer: Observer, server: Server) -> None:
        """The file has ended: let the rest be learned, say what was seen, and serve on."""
        self._say("the file has ended; the rest is being learned …")
        with suppress(httpx.HTTPError, Unavailable), httpx.Client(base_url=server.url) as client:
            self._learn_the_rest(client)
            observer.latest = observer.look(client)
        self._say(view.line(stage.scene()))
        for command in view.commands(server.url):
            self._say(f"  {command}")
        if not self._leave:
            self._say("serving on until Ctrl-C")
            while self._goes_on(server):
                time.sleep(_FRAME_S)

    def _learn_the_rest(self, client: httpx.Client) -> None:
        asked = client.post("/v1/admin/retrain", json={"mode": "incremental", "reason": "demo"})
        asked.raise_for_status()
        job = f"/v1/admin/jobs/{asked.json()['job_id']}"
        until_s = time.monotonic() + _LAST_LESSON_S
        while not self._is_over() and time.monotonic() < until_s:
            if client.get(job).raise_for_status().json()["status"] not in ("queued", "running"):
                return
            time.sleep(_FRAME_S)

    def _goes_on(self, server: Server) -> bool:
        if not server.is_running():
            raise SettingsError(f"the service has ended:\n{server.last_lines()}")
        return not self._is_over()

    def _is_over(self) -> bool:
        late = self._seconds is not None and time.monotonic() - self._began_s >= self._seconds
        return self._stopped or late

    def _say(self, text: str) -> None:
        view.print_plain(self._console, text)


@contextmanager
def _ending_softly(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the demo between two frames instead of in the middle of one."""

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
