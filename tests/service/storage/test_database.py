"""Databases: built by the migrations, equal to the tables, and set up against known corruption."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from sqlalchemy import Engine, text

from service.errors import BadRequest, SettingsError, Unavailable
from service.settings import Settings
from service.storage.catalogue import CatalogueStore
from service.storage.database import (
    alembic_config,
    check_revision,
    connect,
    database_url,
    migrate,
    reading,
    storable,
    writing,
)
from service.storage.registry import Registry
from service.storage.tables import HeadRow


def test_the_tables_are_what_the_migrations_build(engine: Engine) -> None:
    config = alembic_config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.check(config)


def test_migrating_again_changes_nothing(database_url: str) -> None:
    engine = connect(database_url)
    registry = Registry(engine)
    epoch = registry.take_epoch()
    migrate(database_url)
    assert registry.head().epoch == epoch
    check_revision(engine)
    engine.dispose()


def test_migrating_at_once_is_harmless(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.sqlite'}"
    failures: list[Exception] = []

    def work() -> None:
        try:
            migrate(url)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    engine = connect(url)
    assert Registry(engine).head().active == 1
    engine.dispose()


def test_a_migration_can_be_taken_back(engine: Engine) -> None:
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    names = sqlalchemy.inspect(engine).get_table_names()
    assert [name for name in names if name not in ("alembic_version", "sqlite_sequence")] == []


def test_an_item_of_before_is_as_old_as_its_last_write(engine: Engine) -> None:
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        connection.execute(
            text("INSERT INTO items VALUES ('i', :document, :deleted, 1, 7)"),
            {"document": "{}", "deleted": False},
        )
        command.upgrade(config, "head")
    assert CatalogueStore(engine).get("i").created_ms == 7


def test_a_database_without_tables_is_named_as_such(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    with pytest.raises(SettingsError, match="freshet migrate"):
        check_revision(engine)
    engine.dispose()


def test_sqlite_is_set_up_against_loss_and_corruption(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:

        def pragma(name: str) -> object:
            return connection.execute(text(f"PRAGMA {name}")).scalar()

        safe_wal = sqlite3.sqlite_version_info >= (3, 51, 3)
        assert pragma("journal_mode") == ("wal" if safe_wal else "delete")
        assert pragma("synchronous") == 2
        assert pragma("foreign_keys") == 1


def test_a_writer_takes_the_lock_before_it_reads(sqlite_url: str) -> None:
    engine = connect(sqlite_url, timeout_s=0.2)
    with writing(engine) as session:
        session.get_one(HeadRow, 1)
        with pytest.raises(Unavailable), writing(engine) as second:
            second.get_one(HeadRow, 1)
        with reading(engine) as other:
            other.get_one(HeadRow, 1)
    engine.dispose()


def test_a_failed_block_writes_nothing(engine: Engine) -> None:
    def write_and_fail() -> None:
        with writing(engine) as session:
            session.get_one(HeadRow, 1).epoch = 99
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert Registry(engine).head().epoch == 0


def test_the_schema_allows_one_head_and_one_active_version(engine: Engine) -> None:
    copy_version = (
        "INSERT INTO versions (version, parent, status, origin, position_ms, position_seq, digest, "
        "created_ms, activated_ms, window_id, strategy, metrics, gate, pruned) "
        "SELECT 2, NULL, status, origin, position_ms, position_seq, digest, "
        "created_ms, activated_ms, window_id, strategy, metrics, gate, pruned FROM versions"
    )
    copy_head = (
        "INSERT INTO head SELECT 2, generation, active, tip, position_ms, position_seq, epoch, "
        "pinned, incarnation FROM head"
    )
    for statement in (copy_version, copy_head):
        with pytest.raises(sqlalchemy.exc.IntegrityError), writing(engine) as session:
            session.execute(text(statement))


def test_urls(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert database_url(settings) == f"sqlite:///{tmp_path}/freshet.sqlite"
    named = Settings(database_url="postgresql://h/d")
    assert database_url(named) == "postgresql://h/d"
    for url in ("postgres://h/d", "postgresql://h/d"):
        engine = connect(url)
        assert engine.url.drivername == "postgresql+psycopg"
    for bad in ("mysql://h/d", "nonsense"):
        with pytest.raises(SettingsError):
            connect(bad)


def test_text_that_only_one_database_could_hold_is_refused() -> None:
    assert storable("x", "ü/∞\n") == "ü/∞\n"
    for bad in ("a\0b", "\ud800"):
        with pytest.raises(BadRequest):
            storable("x", bad)
