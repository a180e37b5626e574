"""A replica in this process, on real stores."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from service.sections import ServingSettings
from service.settings import Settings
from service.storage import database
from service.storage.keys import Keys
from tests.conftest import ValkeyServer
from tests.service.api.replicas import replica
from tests.service.publishing import Publisher


@pytest.fixture
def make_settings(
    redis_url: str, sqlite_url: str, keys: Keys, tmp_path: Path
) -> Callable[..., Settings]:
    """Settings of a replica on clean stores; keyword arguments replace parts of them."""

    def make(**changed: Any) -> Settings:
        parts: dict[str, Any] = {
            "redis_url": redis_url,
            "database_url": sqlite_url,
            "namespace": keys.namespace,
            "data_dir": tmp_path,
            "serving": {"poll_s": 0.05, "catalogue_poll_s": 0.05, "lists_refresh_s": 0.1},
            "learning": {"replay_size": 100},
        }
        return Settings(_env_file=None, **{**parts, **changed})

    return make


@pytest.fixture(scope="session")
def shared_api(
    valkey: ValkeyServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of one replica for all tests that need no clean one."""
    directory = tmp_path_factory.mktemp("replica")
    shutil.copyfile(sqlite_template, directory / "freshet.sqlite")
    settings = Settings(
        _env_file=None,
        redis_url=valkey.url,
        namespace="shared",
        data_dir=directory,
        serving=ServingSettings(lists_refresh_s=0.1),
    )
    with replica(settings) as client:
        yield client


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a running replica."""
    with replica(settings) as client:
        yield client


@pytest.fixture
def stores(settings: Settings) -> Iterator[Engine]:
    """The replica's database, for tests that look behind the api."""
    engine = database.connect(database.database_url(settings))
    yield engine
    engine.dispose()


@pytest.fixture
def publisher(settings: Settings, stores: Engine) -> Publisher:
    """Publishes versions to the replica."""
    return Publisher(stores, settings.data_dir)
