"""The stores as a command opens them: for one question, and closed after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from sqlalchemy import Engine

from service.cli.embedded import remembered_url
from service.errors import SettingsError
from service.settings import Settings
from service.storage import connections, database


def redis_url(settings: Settings) -> str:
    """The event log's server: the one named, else the embedded one of the data directory.

    Raises:
        SettingsError: none is named and none was ever started there.
    """
    url = settings.redis_url or remembered_url(settings.data_dir)
    if url is None:
        raise SettingsError(
            "FRESHET_REDIS_URL is not set, and no `freshet serve` has kept an event log in "
            f"{settings.data_dir}: name the server, or run `freshet serve`"
        )
    return url


@contextmanager
def open_redis(settings: Settings) -> Iterator[redis.Redis]:
    """A client of the event log's server.

    Raises:
        SettingsError: no server is known.
    """
    with connections.connect(redis_url(settings)) as client:
        yield client


@contextmanager
def open_database(settings: Settings) -> Iterator[Engine]:
    """An engine on the registry's database, which must have this release's tables.

    Raises:
        SettingsError: it has others, or none.
        Unavailable: it does not answer.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    engine = database.connect(database.database_url(settings))
    try:
        database.check_revision(engine)
        yield engine
    finally:
        engine.dispose()
