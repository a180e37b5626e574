"""Where the fast memory comes from and goes to, opened once for its process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis

from service.errors import SettingsError
from service.settings import Settings
from service.storage import connections, database
from service.storage.archive import Archive
from service.storage.catalogue import CatalogueStore
from service.storage.event_log import EventLog
from service.storage.keys import Keys
from service.storage.memory import MemoryStore
from service.storage.registry import Registry


@dataclass(slots=True)
class Stores:
    """The stores of the memory's process; all of them synchronous."""

    registry: Registry
    log: EventLog
    archive: Archive
    memory: MemoryStore
    catalogue: CatalogueStore
    client: redis.Redis
    keys: Keys
    _secret: bytes | None = field(default=None, init=False)

    def secret(self) -> bytes:
        """The registry's; it keys the hashes of users.

        Raises:
            Unavailable: the database does not answer, and has not yet.
        """
        if self._secret is None:
            self._secret = self.registry.secret()
        return self._secret


@contextmanager
def open_stores(settings: Settings) -> Iterator[Stores]:
    """Open them for `settings`; closed at the end of the block.

    Raises:
        SettingsError: no server is named for the event log.
    """
    if settings.redis_url is None:
        raise SettingsError("redis_url: the memory alone needs the event log's server named")
    keys = Keys(settings.namespace)
    client = connections.connect(settings.redis_url)
    engine = database.connect(database.database_url(settings))
    try:
        yield Stores(
            registry=Registry(engine),
            log=EventLog(client, keys, buries=False),
            archive=Archive(settings.data_dir.absolute() / "archive"),
            memory=MemoryStore(client, keys, settings.memory.changes, settings.memory.lessons),
            catalogue=CatalogueStore(engine),
            client=client,
            keys=keys,
        )
    finally:
        client.close()
        engine.dispose()
