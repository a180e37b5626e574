"""A service's stores, as commands find them; and files of events in every format."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from service.cli.app import app
from service.domain.interactions import START, Interaction
from service.learner.archiving import Archiving
from service.learner.unlearned import Unlearned
from service.settings import Settings
from service.storage import connections, database
from service.storage.archive import Archive
from service.storage.catalogue import CatalogueStore
from service.storage.event_log import EventLog
from service.storage.keys import Keys

FORMATS = ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")


@dataclass
class Place:
    """The stores of one service, and its commands."""

    environment: Mapping[str, str]
    settings: Settings
    client: redis.Redis
    engine: Engine

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.namespace)

    @property
    def log(self) -> EventLog:
        return EventLog(self.client, self.keys)

    @property
    def catalogue(self) -> CatalogueStore:
        return CatalogueStore(self.engine)

    def freshet(self, *arguments: object, **settings: object) -> Result:
        """Run a command; settings are named as in the environment, less the prefix."""
        more = {f"FRESHET_{name}": str(value) for name, value in settings.items()}
        environment = {**self.environment, **more}
        return CliRunner().invoke(app, [str(word) for word in arguments], env=environment)

    def logged(self) -> list[Interaction]:
        """Everything in the log, in its order, repeats included."""
        entries = self.log.read(START, 1_000_000)
        return [event for entry in entries for event in entry.interactions]

    def archive(self) -> None:
        """Archive what is in the log, as the learner does, and trim the log."""
        archive = Archive(self.settings.data_dir / "archive")
        archiving = Archiving(Unlearned(self.log, archive), archive, self.settings.log)
        archiving.remember()
        archiving.archive(archive.end(), self.log.last())
        self.log.trim(self.log.last())


@pytest.fixture
def open_place(
    tmp_path: Path,
    redis_url: str,
    sqlite_template: Path,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Place]]:
    """Makes services by name, each with stores of its own."""
    for name in [name for name in os.environ if name.startswith("FRESHET_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    engines = []

    with connections.connect(redis_url) as client:

        def make(name: str) -> Place:
            data_dir = tmp_path / name
            data_dir.mkdir()
            (data_dir / "freshet.sqlite").write_bytes(sqlite_template.read_bytes())
            settings = Settings(
                _env_file=None,
                data_dir=data_dir,
                redis_url=redis_url,
                namespace=f"{keys.namespace}-{name}",
            )
            engines.append(database.connect(database.database_url(settings)))
            environment = {
                "FRESHET_DATA_DIR": str(data_dir),
                "FRESHET_REDIS_URL": redis_url,
                "FRESHET_NAMESPACE": settings.namespace,
            }
            return Place(environment, settings, client, engines[-1])

        yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def place(open_place: Callable[[str], Place]) -> Place:
    return open_place("one")


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The rows as the file's name asks, each with the same columns; written by no code of ours."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
        return path
    packed = path.name.endswith(".gz")
    with gzip.open(path, "wt", newline="") if packed else path.open("w", newline="") as text:
        if kind == "csv":
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            text.writelines(json.dumps(dict(row)) + "\n" for row in rows)
    return path


def clicks(count: int, start_s: int = 1_000_000_000) -> list[dict[str, Any]]:
    """Clicks of seven users in 2001, a second apart."""
    return [
        {"user_id": f"u{at % 7}", "item_id": f"i{at % 11}", "timestamp": start_s + at}
        for at in range(count)
    ]
