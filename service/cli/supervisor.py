"""`freshet serve`: every part of the service on one machine, kept alive and ended together.

The order is that of the river: the event log's server first (unless another is named), then the
registry's migration, then the api and the learner. Whichever dies is started again; one that says
that it cannot work as it is set up (`EXIT_SETUP`) ends the whole, for starting it again is no
remedy. On SIGTERM or SIGINT the api and the learner are asked to end, the api after its drain;
the server of the log goes last, so that nothing that they still write is lost.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Final

from service.cli.child import Child, Kept
from service.cli.embedded import EmbeddedRedis, find_server
from service.cli.runtime import EXIT_SETUP, environment_of
from service.errors import SettingsError
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
        port = settings.port or _free_port(settings.host)
        self._settings = settings.model_copy(update={"data_dir": data_dir, "port": port})
        self._say = say
        self._signals = 0
        self._kept: list[Kept] = []
        self._redis: EmbeddedRedis | None = None

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; the exit status.

        Raises:
            SettingsError: the data directory is served already, the port is taken, or the event
                log's server does not come up.
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
        if self._settings.redis_url is None:
            self._redis = EmbeddedRedis(self._settings.data_dir, self._settings.log.fsync)
            self._redis.start(self._stopping)
            self._settings = self._settings.model_copy(update={"redis_url": self._redis.url})
            self._kept.append(Kept("redis", self._redis))
        if self._stopping():
            return 0
        for line in self._what_runs_here():
            self._say(line)
        status = subprocess.call(_command("migrate"), env=environment_of(self._settings))
        if status != 0:
            return 0 if self._stopping() else EXIT_SETUP
        for name in ("api", "learner"):
            kept = Kept(name, Child(_command(name), environment_of(self._settings)))
            kept.start()
            self._kept.append(kept)
        return self._watch()

    def _what_runs_here(self) -> list[str]:
        settings = self._settings
        if self._redis is None:
            log = _without_password(settings.redis_url or "")
        else:
            log = f"embedded {find_server().name}, fsync {settings.log.fsync}"
        registry = _without_password(settings.database_url or "embedded SQLite")
        return [
            f"freshet {version('freshet')} in {settings.data_dir}",
            f"  event log  {log}",
            f"  registry   {registry}",
            f"  api        http://{settings.host}:{settings.port} (its documentation: /docs)",
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
                self._say(f"ready on http://{self._settings.host}:{self._settings.port}")
            time.sleep(_LOOK_S)
        self._say("ending: no new requests, then the rest")
        return 0

    def _is_ready(self) -> bool:
        host = _reachable(self._settings.host)
        connection = http.client.HTTPConnection(host, self._settings.port, timeout=1.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

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


def _reachable(host: str) -> str:
    """An address on which a process of this machine reaches one that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _free_port(host: str) -> int:
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """See that the api will be able to listen.

    Raises:
        SettingsError: the port is taken, or may not be opened, or the address is not ours.
    """
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host}:{port} ({error.strerror}): another program may have it; "
                "choose another with --port or FRESHET_PORT"
            ) from error


@contextmanager
def serving_lock(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for one supervisor; the lock goes with the process, however it ends.

    Raises:
        SettingsError: another supervisor holds it, or the directory cannot be written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "serve.lock").open("a+")
    except OSError as error:
        raise SettingsError(f"cannot write to the data directory {data_dir}: {error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise SettingsError(
                f"{data_dir} is served already, by process {holder}; stop that one, or name "
                "another directory with --data-dir or FRESHET_DATA_DIR"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
