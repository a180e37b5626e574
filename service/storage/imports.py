"""How far files of events have been imported: beside the log, so that record and log agree.

The record of a file moves in the step that appends its lines (`ingest.lua`), and only from where
the importer believes it to stand. So no line of a file is in the log twice, or passed over,
whatever is killed and however many import the same file; and a log that is wiped or restored takes
its records with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import redis.asyncio

from service.storage.clock import now_ms
from service.storage.connections import answering
from service.storage.keys import Keys


@dataclass(frozen=True, slots=True)
class Mark:
    """The lines of a file that a batch is: those behind `before`, up to and with `after`."""

    digest: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """How far a file is in the log; `NOT_BEGUN` for one that was never seen, or is forgotten."""

    line: int
    events: int
    done_ms: int | None
    """When the import came to its end (Unix milliseconds); None when it has not."""


NOT_BEGUN = ImportRecord(0, 0, None)


class ImportRecords:
    """Reads and ends the records that `Ingest` moves."""

    def __init__(
        self, client: redis.asyncio.Redis, keys: Keys, clock: Callable[[], int] = now_ms
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock

    async def read(self, digest: str) -> ImportRecord:
        """How far the file of this digest is in the log.

        Raises:
            Unavailable: the server does not answer.
        """
        with answering("imports"):
            found = await cast(
                Awaitable[dict[bytes, bytes]],
                self._client.hgetall(self._keys.import_record(digest)),
            )
        done = found.get(b"done")
        return ImportRecord(
            line=int(found.get(b"line", 0)),
            events=int(found.get(b"events", 0)),
            done_ms=None if done is None else int(done),
        )

    async def finish(self, digest: str) -> None:
        """Write down that all lines of the file are in.

        Raises:
            Unavailable: the server does not answer.
        """
        with answering("imports"):
            key = self._keys.import_record(digest)
            await self._client.hset(key, "done", str(self._clock()))

    async def forget(self, digest: str) -> None:
        """Let the file be imported from its beginning.

        Raises:
            Unavailable: the server does not answer.
        """
        with answering("imports"):
            await self._client.delete(self._keys.import_record(digest))
