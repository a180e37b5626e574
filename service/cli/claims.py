"""What a service claims for itself alone: an address to listen on, and a directory."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from service.errors import SettingsError


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reachable(host: str) -> str:
    """An address on which a process of this machine reaches one that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def url_of(host: str, port: int) -> str:
    """The base address of an api that listens on `host`, as a browser takes it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def free_port(host: str) -> int:
    """A port of `host` that nobody listens on at this moment."""
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
def serving_lock(data_dir: Path, name: str = "serve.lock") -> Iterator[None]:
    """Hold the data directory for one process; the lock goes with the process, however it ends.

    Args:
        data_dir: made if it is not there.
        name: of the lock: `serve.lock` is the supervisor's, another name another part's.

    Raises:
        SettingsError: another process holds it, or the directory cannot be written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / name).open("a+")
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


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
