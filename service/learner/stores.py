"""Where everything is kept, opened once for a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from service.errors import SettingsError
from service.settings import Settings
from service.storage import connections, database
from service.storage.archive import Archive
from service.storage.checkpoints import CheckpointStore
from service.storage.event_log import EventLog
from service.storage.jobs import Jobs
from service.storage.keys import Keys
from service.storage.lessons import Lessons
from service.storage.memory import MemoryStore
from service.storage.registry import Registry
from service.storage.replay import ReplayBuffer


@dataclass(frozen=True, slots=True)
class Stores:
    """The learner's stores; all of them synchronous."""

    registry: Registry
    jobs: Jobs
    log: EventLog
    archive: Archive
    checkpoints: CheckpointStore
    buffer: ReplayBuffer
    memory: MemoryStore
    lessons: Lessons
    client: redis.Redis
    keys: Keys
    data_dir: Path

    @property
    def archive_dir(self) -> Path:
        return self.data_dir / "archive"

    @property
    def checkpoint_dir(self) -> Path:
        return self.data_dir / "checkpoints"

    @property
    def work_dir(self) -> Path:
        """Where full retrains work; what lies there may be thrown away when none runs."""
        return self.data_dir / "work"


@contextmanager
def open_stores(settings: Settings) -> Iterator[Stores]:
    """Open them for `settings`; closed at the end of the block.

    Nothing is connected yet, so a store that is away does not keep the learner from starting.

    Raises:
        SettingsError: no server is named for the event log.
    """
    if settings.redis_url is None:
        raise SettingsError("redis_url: the learner alone needs the event log's server named")
    keys = Keys(settings.namespace)
    client = connections.connect(settings.redis_url)
    engine = database.connect(database.database_url(settings))
    data_dir = settings.data_dir.absolute()
    try:
        yield Stores(
            registry=Registry(engine),
            jobs=Jobs(engine),
            log=EventLog(client, keys),
            archive=Archive(data_dir / "archive"),
            checkpoints=CheckpointStore(data_dir / "checkpoints"),
            buffer=ReplayBuffer(
                client, keys, settings.learning.replay_size, settings.learning.replay_bytes
            ),
            memory=MemoryStore(client, keys, settings.memory.changes),
            lessons=Lessons(client, keys),
            client=client,
            keys=keys,
            data_dir=data_dir,
        )
    finally:
        client.close()
        engine.dispose()
