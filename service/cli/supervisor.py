"""`freshet serve`: every part of the service on one machine, kept alive and ended together.

The registry's migration comes first and, on an address beyond this machine, the question whether
anybody has a key: what must not start has started nothing. Then comes the event log's server
(unless another is named), then the api, the learner and the fast memory. Whichever dies is started
again; one that says that it cannot work as it is set up (`EXIT_SETUP`) ends the whole, for starting
it again is no remedy. On SIGTERM or SIGINT all but the log are asked to end, the api after its
drain; the server of the log goes last, so that nothing that they still write is lost.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from types import FrameType
from typing import Final

from service.cli.child import Child, Kept
from service.cli.claims import (
    check_port,
    free_port,
    is_loopback,
    reachable,
    serving_lock,
    url_of,
)
from service.cli.embedded import EmbeddedRedis, find_server
from service.cli.runtime import EXIT_SETUP, environment_of
from service.settings import Settings

_LOOK_S: Final = 0.05
_GRACE_S: Final = 20.0


class Supervisor:
    """Runs the parts until it is told to end.

    Args:
        settings: of this process; the children read theirs from the environment made of it.
        say: takes each line for the operator.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        data_dir = settings.data_dir.absolute()
        port = settings.port or free_port(settings.host)
        self._settings = settings.model_copy(update={"data_dir": data_dir, "port": port})
        self._say = say
        self._signals = 0
        self._kept: list[Kept] = []
        self._redis: EmbeddedRedis | None = None

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; the exit status.

        Raises:
            SettingsError: the data directory is served already, the port is taken, nobody has a key
                to an address beyond this machine, or the event log's server does not come up.
        """
        with serving_lock(self._settings.data_dir):
            check_port(self._settings.host, self._settings.port)
            with _signals_to(self._on_signal):
                try:
                    return self._run()
                finally:
                    self._stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signals += 1

    def _stopping(self) -> bool:
        return self._signals > 0

    def _run(self) -> int:
        for line in self._what_runs_here():
            self._say(line)
        status = subprocess.call(_command("migrate"), env=environment_of(self._settings))
        if self._stopping():
            return 0
        if status != 0:
            return EXIT_SETUP
        self._check_access()
        if self._settings.redis_url is None:
            self._redis = EmbeddedRedis(self._settings.data_dir, self._settings.log.fsync)
            self._redis.start(self._stopping)
            self._settings = self._settings.model_copy(update={"redis_url": self._redis.url})
            self._kept.append(Kept("redis", self._redis))
        if self._stopping():
            return 0
        for name in ("api", "learner", "memory"):
            kept = Kept(name, Child(_command(name), environment_of(self._settings)))
            kept.start()
            self._kept.append(kept)
        return self._watch()

    def _check_access(self) -> None:
        """Ask as the api will ask when it starts, before anything runs that would have to end."""
        if is_loopback(self._settings.host):
            return  # the question costs the database's whole library
        from service.api.keyring import check_access

        check_access(self._settings)

    def _what_runs_here(self) -> list[str]:
        settings = self._settings
        if settings.redis_url is not None:
            log = _without_password(settings.redis_url)
        else:
            log = f"embedded {find_server().name}, fsync {settings.log.fsync}"
        registry = _without_password(settings.database_url or "embedded SQLite")
        return [
            f"freshet {version('freshet')} in {settings.data_dir}",
            f"  event log  {log}",
            f"  registry   {registry}",
            f"  api        {url_of(settings.host, settings.port)} (its documentation: /docs)",
        ]

    def _watch(self) -> int:
        announced = False
        while not self._stopping():
            for kept in self._kept:
                died = kept.check()
                if died is None:
                    continue
                status, delay_s = died
                if status == EXIT_SETUP:
                    self._say(f"the {kept.name} cannot work as it is set up; ending")
                    return EXIT_SETUP
                self._say(f"the {kept.name} ended ({_how(status)}); again in {delay_s:.1f} s")
            if not announced and self._is_ready():
                announced = True
                self._say(ready_line(self._settings))
            time.sleep(_LOOK_S)
        self._say("ending: no new requests, then the rest")
        return 0

    def _is_ready(self) -> bool:
        """Whether our own api answers: another service's on this port has another process."""
        host = reachable(self._settings.host)
        connection = http.client.HTTPConnection(host, self._settings.port, timeout=1.0)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return answer.status == 200 and json.load(answer)["pid"] in self._pids()
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return False
        finally:
            connection.close()

    def _pids(self) -> set[int | None]:
        return {kept.process.pid for kept in self._kept}

    def _stop(self) -> None:
        """End the parts in order; a second signal ends their patience."""
        parts = [kept for kept in self._kept if kept.process is not self._redis]
        for kept in parts:
            kept.signal(signal.SIGTERM)
        until_s = time.monotonic() + self._settings.serving.drain_s + _GRACE_S
        first = self._signals
        while time.monotonic() < until_s and self._signals <= max(first, 1):
            if all(kept.process.poll() is not None or kept.process.pid is None for kept in parts):
                break
            time.sleep(_LOOK_S)
        for kept in parts:
            kept.await_end(time.monotonic())
        if self._redis is not None:
            self._redis.stop()


def ready_line(settings: Settings) -> str:
    """What the supervisor says, on a line of its own, once its own api answers."""
    return f"ready on {url_of(settings.host, settings.port)}"


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "service", name]


def _without_password(url: str) -> str:
    """An address as it may be shown: `scheme://host:port/…`."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}" if found else url


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    return f"killed by {signal.Signals(-status).name}"


@contextmanager
def _signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
