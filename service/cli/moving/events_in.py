"""A file of events into the log, by the script that the api calls."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import typer
from pydantic import ValidationError

from service.api.schemas.events import EventIn, EventRules
from service.cli.moving.looking import Patience, bar, look, sentence
from service.cli.stores import redis_url
from service.domain.interactions import MAX_TIME_MS, Interaction
from service.domain.weights import EventWeights
from service.errors import Conflict, OutcomeUnknown, Unavailable
from service.settings import Settings
from service.storage.clock import now_ms
from service.storage.connections import connect_async
from service.storage.imports import NOT_BEGUN, ImportRecord, ImportRecords, Mark
from service.storage.ingest import Ingest
from service.storage.keys import Keys
from service.streams import REQUIRED, BadStream, Record, StreamRow, read_lines

_TIMEOUT_S = 5.0
"""Nobody waits for an answer as on the serving path; a slow disk is no reason to ask twice."""
_ID_DIGITS = 32
_READ = frozenset({*REQUIRED, "type", "value", "event_id", "recommendation_id"})


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has done."""

    events: int
    """Of the file that are in the log."""
    before: int
    """Of them, by an earlier run that did not come to its end."""
    skipped: int


def import_file(path: Path, settings: Settings, skip: bool, again: bool) -> Imported:
    """Append the events of a file that are not in the log yet.

    Args:
        skip: pass over bad lines; otherwise one is enough for nothing to be sent.
        again: send a file, or a part of it, that is in the log already.

    Raises:
        BadStream: the file cannot be read, or a line is no event.
        Conflict: the file is in, or another import of it is at work.
        Unavailable: the log's server does not answer at the start.
    """
    file = EventFile(path, settings)
    record = asyncio.run(_record(file, settings, again))
    good, bad = look(path, file.rows(), skip, file.see)
    _say_what_is_odd(file, record)
    sent = asyncio.run(_send(file, settings, record, good))
    return Imported(record.events + sent, record.events, bad)


class EventFile:
    """Events as a file has them, as the api would have accepted them.

    Args:
        path: in one of the formats of `service.streams`.
        settings: event types, and how far ahead a time may lie. How far back is not asked.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.late = 0
        self.unread: set[str] = set()
        now = now_ms()
        latest_ms = min(now + int(settings.limits.future_s * 1_000), MAX_TIME_MS - 1)
        self._rules = EventRules(settings.event_types, now, 0, latest_ms)
        self._latest = 0
        self._digest = ""

    @property
    def digest(self) -> str:
        """sha256 (hex) of the file.

        Raises:
            BadStream: it cannot be read.
        """
        if not self._digest:
            try:
                with self.path.open("rb") as file:
                    self._digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise BadStream(f"{self.path}: cannot be read: {error.strerror}") from None
        return self._digest

    def rows(self) -> Iterator[tuple[int, Interaction | ValueError]]:
        """(line, event, or why it is none)."""
        for line, found in read_lines(self.path, REQUIRED):
            yield line, found if isinstance(found, ValueError) else self._event(line, found)

    def see(self, event: Interaction) -> None:
        """Count events that stand behind a later one."""
        self.late += event.time_ms < self._latest
        self._latest = max(self._latest, event.time_ms)

    def _event(self, line: int, record: Record) -> Interaction | ValueError:
        self.unread.update(name for name in record if name not in _READ)
        try:
            row = StreamRow.of(line, record)
            if not 0 <= row.time_ms <= self._rules.latest_ms:
                return ValueError("timestamp: lies before 1970 or too far ahead")
            event = EventIn.model_validate(
                {
                    "user_id": row.user_id,
                    "item_id": row.item_id,
                    "type": row.type,
                    "value": row.value,
                    "event_id": row.event_id or f"{self.digest[:_ID_DIGITS]}:{line}",
                    "recommendation_id": row.recommendation_id,
                },
                context=self._rules,
            )
        except ValidationError as error:
            return ValueError(sentence(error))
        except ValueError as error:
            return error
        return event.interaction(row.time_ms)


async def _record(file: EventFile, settings: Settings, again: bool) -> ImportRecord:
    """How far the file is in the log; with `again`, not at all from now on."""
    async with connect_async(redis_url(settings), timeout_s=_TIMEOUT_S) as client:
        records = ImportRecords(client, Keys(settings.namespace))
        record = await records.read(file.digest)
        if again:
            await records.forget(file.digest)
            return NOT_BEGUN
    if record.done_ms is not None:
        raise Conflict(_is_in(file, record, settings))
    return record


async def _send(file: EventFile, settings: Settings, record: ImportRecord, total: int) -> int:
    keys = Keys(settings.namespace)
    weights = EventWeights(settings.event_types, settings.positive_from)
    async with connect_async(redis_url(settings), timeout_s=_TIMEOUT_S) as client:
        ingest = Ingest(client, keys, settings.log, weights)
        sender = Sender(ingest, ImportRecords(client, keys), file.digest)
        return await sender.send(file, record, total, settings.limits.max_batch)


class Sender:
    """Sends a file in batches; each moves the file's record, or is not taken."""

    def __init__(self, ingest: Ingest, records: ImportRecords, digest: str) -> None:
        self._ingest = ingest
        self._records = records
        self._digest = digest
        self._patience = Patience()

    async def send(self, file: EventFile, record: ImportRecord, total: int, size: int) -> int:
        """Send the good rows behind the record, `size` at a time, and end the record.

        Returns:
            How many were sent.
        """
        before, sent = record.line, 0
        batch: list[Interaction] = []
        line = before
        with bar("importing", total) as show:
            for line, event in file.rows():
                if line <= record.line or isinstance(event, ValueError):
                    continue
                batch.append(event)
                show(record.events + sent + len(batch))
                if len(batch) == size:
                    await self._append(batch, Mark(self._digest, before, line))
                    before, sent, batch = line, sent + len(batch), []
        if batch:
            await self._append(batch, Mark(self._digest, before, line))
        await self._records.finish(self._digest)
        return sent + len(batch)

    async def _append(self, batch: Sequence[Interaction], mark: Mark) -> None:
        """Append a batch once, however long it takes."""
        unsure = False
        while True:
            try:
                await self._ingest.append(batch, mark)
                return
            except Unavailable as error:
                unsure = unsure or isinstance(error, OutcomeUnknown)
                self._patience.say(error)
                await asyncio.sleep(error.retry_after_s)
            except Conflict:
                if unsure and (await self._records.read(self._digest)).line == mark.after:
                    return  # the attempt that was not answered had been heard
                raise


def _is_in(file: EventFile, record: ImportRecord, settings: Settings) -> str:
    when = datetime.fromtimestamp((record.done_ms or 0) / 1_000, UTC)
    log = settings.log
    return (
        f"{file.path}: its {record.events} events are in since {when:%Y-%m-%d %H:%M:%S}Z. With"
        f" --again they are sent once more; those that came in the last {log.retention_days} days,"
        f" up to {log.dedupe_max_ids} ids, are known as repeats, and the others learned twice"
    )


def _say_what_is_odd(file: EventFile, record: ImportRecord) -> None:
    if file.unread:
        typer.echo(f"not read: {', '.join(sorted(file.unread))}", err=True)
    if file.late:
        typer.echo(
            f"{file.late} events happened before one that stands above them: they are learned in"
            " the order of the file",
            err=True,
        )
    if record.line:
        typer.echo(f"going on behind line {record.line}", err=True)
