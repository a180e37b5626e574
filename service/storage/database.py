"""The registry's database: SQLite on one machine, PostgreSQL beyond it.

SQLite writes with a rollback journal unless its library is free of the WAL-reset corruption that
several writing connections met from 3.7.0 to 3.51.2 (sqlite.org/wal.html), and with
`synchronous=FULL`: a commit that was answered is on the disk. Writers begin with BEGIN IMMEDIATE,
so that two of them wait for each other instead of failing half-way.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from service.errors import BadRequest, SettingsError, Unavailable
from service.settings import Settings

_SAFE_WAL = (3, 51, 3)
_WRITES = "freshet_writes"
_MIGRATION_LOCK = 0x66726573


def database_url(settings: Settings) -> str:
    """The database of `settings`: the one named, else SQLite in the data directory."""
    if settings.database_url is not None:
        return settings.database_url
    return f"sqlite:///{settings.data_dir.absolute() / 'freshet.sqlite'}"


def connect(url: str, *, timeout_s: float = 5.0) -> Engine:
    """An engine for `url`; no connection is made yet.

    Args:
        url: `sqlite:///…` or `postgresql://…` (psycopg 3 speaks to the latter).
        timeout_s: how long to wait for a connection or a lock.

    Raises:
        SettingsError: the URL is none of a database that freshet knows.
    """
    try:
        parsed = make_url(url)
    except sqlalchemy.exc.ArgumentError as error:
        raise SettingsError("database_url: not a database URL") from error
    backend = parsed.get_backend_name()
    if backend in ("postgres", "postgresql"):
        return _postgres(parsed.set(drivername="postgresql+psycopg"), timeout_s)
    if backend == "sqlite":
        return _sqlite(parsed, timeout_s)
    raise SettingsError(f"database_url: {backend!r} is not known; allowed are sqlite, postgresql")


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session for one consistent look.

    Raises:
        Unavailable: the database does not answer.
    """
    with _translating(), Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session for one transaction, committed at the end of the block or not at all.

    Raises:
        Unavailable: the database does not answer.
    """
    writer = engine.execution_options(**{_WRITES: True})
    with _translating(), Session(writer, expire_on_commit=False) as session, session.begin():
        yield session


def migrate(url: str) -> None:
    """Bring the database to this release's tables; safe to repeat and to run twice at once.

    Raises:
        Unavailable: the database does not answer.
    """
    engine = connect(url, timeout_s=30.0)
    config = alembic_config()
    try:
        writer = engine.execution_options(**{_WRITES: True})
        with _translating(), writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def check_revision(engine: Engine) -> None:
    """See that the database has this release's tables.

    Raises:
        SettingsError: it has others, or none.
        Unavailable: the database does not answer.
    """
    wanted = ScriptDirectory.from_config(alembic_config()).get_current_head()
    with _translating(), engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != wanted:
        raise SettingsError(
            f"the database is at revision {found}, this release needs {wanted}: "
            "run `freshet migrate`"
        )


def alembic_config() -> Config:
    """Alembic's configuration, from a checkout as well as from an installed wheel."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    return config


def storable(name: str, value: str) -> str:
    """`value`, which both databases can hold as text.

    Raises:
        BadRequest: it has a NUL (PostgreSQL has no place for it) or a lone surrogate.
    """
    if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise BadRequest(f"{name}: control characters and lone surrogates are not allowed")
    return value


def _postgres(url: sqlalchemy.URL, timeout_s: float) -> Engine:
    return sqlalchemy.create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=timeout_s,
        json_serializer=_to_json,
        connect_args={
            "connect_timeout": max(math.ceil(timeout_s), 1),
            "options": f"-c lock_timeout={round(timeout_s * 1000)}",
        },
    )


def _sqlite(url: sqlalchemy.URL, timeout_s: float) -> Engine:
    engine = sqlalchemy.create_engine(
        url,
        pool_timeout=timeout_s,
        json_serializer=_to_json,
        connect_args={"timeout": timeout_s},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite` alone
    safe = sqlite3.sqlite_version_info >= _SAFE_WAL
    connection.execute(f"PRAGMA journal_mode={'WAL' if safe else 'DELETE'}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise Unavailable("the database does not answer") from error


def _to_json(value: Any) -> str:
    """JSON text without NaN and infinities, which PostgreSQL refuses: they become null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
