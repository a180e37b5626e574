"""A keeper over real stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from service.storage.keys import Keys
from tests.service.memory.world import World, opened, settings_of


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, sqlite_url: str, keys: Keys) -> Settings:
    return settings_of(tmp_path / "data", redis_url, sqlite_url, keys.namespace)


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    with opened(settings) as world:
        yield world
