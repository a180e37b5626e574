"""The archive: the log's entries for good, in Parquet files named by the range they cover.

A file covers the entries after `start` up to and with `end`; no two overlap, whatever bounds are
asked for, since what is archived already is never written again. Beside the events stands the
learner's finding whether each one is a repeat, and the hash by which it was found.

The replay draws of windows lie beside them, named by their digest.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.interactions import Sample
from service.domain.interactions import START, Interaction, LogEntry, Position
from service.errors import Conflict, CorruptEntry
from service.storage.durable import Step, no_step, write_file
from service.storage.hashing import repeat_hash
from service.storage.samples import pack_many, unpack_many

FORMAT = b"1"
_NAME = re.compile(r"^(\d+-\d+)_(\d+-\d+)\.parquet$")
_SCHEMA = pa.schema(
    [
        ("position_ms", pa.uint64()),
        ("position_seq", pa.uint64()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("type", pa.string()),
        ("time_ms", pa.int64()),
        ("event_id", pa.string()),
        ("value", pa.float64()),
        ("recommendation_id", pa.string()),
        ("repeat", pa.bool_()),
        ("repeat_hash", pa.uint64()),
    ],
    metadata={b"freshet.archive": FORMAT},
)

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class ArchivedEvent:
    """One event as the archive holds it."""

    position: Position
    interaction: Interaction
    repeat: bool
    """The same (user, event id) came before it, within the repeat window: not to be learned."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    start: Position
    end: Position


class Archive:
    """Files under `directory`; one writer (the learner), any number of readers.

    Args:
        directory: made when it is not there.
        step: called before each step of a write.
    """

    def __init__(self, directory: Path, *, step: Step = no_step) -> None:
        self._events = directory / "events"
        self._draws = directory / "draws"
        self._step = step
        self._events.mkdir(parents=True, exist_ok=True)
        self._draws.mkdir(parents=True, exist_ok=True)

    def end(self) -> Position:
        """The last position that is archived; START for an empty archive."""
        files = self._files()
        return files[-1].end if files else START

    def covers(self, position: Position) -> bool:
        """Whether everything up to and with `position` is archived."""
        return position <= self.end()

    def write(
        self,
        start: Position,
        end: Position,
        entries: Sequence[LogEntry],
        repeats: Sequence[bool],
    ) -> None:
        """Archive the entries after `start` up to and with `end`; what is there already stays.

        Args:
            entries: all of the range, in the order of the log.
            repeats: for each interaction of `entries`, in order, whether it is a repeat.

        Raises:
            Conflict: `entries` do not lie in the range, or flags and events differ in number.
        """
        rows = _rows(entries, repeats)
        if any(not start < row.position <= end for row in rows):
            raise Conflict(f"entries outside of ({start}, {end}] cannot be archived there")
        start = max(start, self.end())
        if end <= start:
            return
        table = _table([row for row in rows if row.position > start])
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        write_file(self._events / f"{start}_{end}.parquet", buffer.getvalue(), self._step)

    def read(
        self, after: Position = START, until: Position | None = None
    ) -> Iterator[ArchivedEvent]:
        """Archived events after `after` up to and with `until`, in the order of the log.

        Raises:
            CorruptEntry: a file cannot be read, or is of a format this release does not know.
        """
        for file in self._files():
            if file.end <= after or (until is not None and file.start >= until):
                continue
            for event in _read(file.path):
                if after < event.position and (until is None or event.position <= until):
                    yield event

    def events_of(self, user_id: str, after: Position = START) -> Iterator[ArchivedEvent]:
        """One user's archived events, in the order of the log."""
        for file in self._files():
            if file.end > after:
                found = _read(file.path, pc.field("user_id") == user_id)
                yield from (event for event in found if event.position > after)

    def recent_hashes(
        self, until: Position, since_ms: int, max_ids: int
    ) -> list[tuple[int, Hashes]]:
        """The repeat window as it was at `until`, for a learner that starts.

        Args:
            until: files behind it are left out: their events come again.
            since_ms: files that end before it (log time) are left out.
            max_ids: the newest files with at most so many hashes, but at least one file.

        Returns:
            (end of the file in ms, hashes of its first arrivals [n]) of each file, oldest first.
        """
        segments: list[tuple[int, Hashes]] = []
        held = 0
        for file in reversed(self._files()):
            if file.end > until:
                continue
            if file.end.ms < since_ms or held >= max_ids:
                break
            hashes = _hashes(file.path)
            held += len(hashes)
            if held > max_ids and segments:
                break
            segments.append((file.end.ms, hashes))
        return segments[::-1]

    def write_draw(self, window: str, samples: Sequence[Sample]) -> str:
        """Keep the replay draw of a window before the window is committed.

        Args:
            window: a name for the window, such as its start.

        Returns:
            sha256 (hex) of the file, to be recorded with the window.
        """
        data = pack_many(samples)
        digest = sha256(data).hexdigest()
        path = self._draw(window, digest)
        if not path.exists():
            write_file(path, data, self._step)
        return digest

    def read_draw(self, window: str, digest: str) -> list[Sample]:
        """The samples drawn for a window.

        Raises:
            CorruptEntry: the file is gone or not what the digest says.
        """
        try:
            data = self._draw(window, digest).read_bytes()
        except OSError as error:
            raise CorruptEntry(f"the draw of window {window} cannot be read") from error
        if sha256(data).hexdigest() != digest:
            raise CorruptEntry(f"the draw of window {window} is not what was recorded")
        return unpack_many(data)

    def remove_draw(self, window: str, digest: str) -> None:
        """Drop the draw of a window that is done."""
        self._draw(window, digest).unlink(missing_ok=True)

    def _draw(self, window: str, digest: str) -> Path:
        return self._draws / f"{window}-{digest[:12]}.msgpack"

    def _files(self) -> list[_File]:
        """The files in the order of the log."""
        found = ((path, _NAME.match(path.name)) for path in self._events.iterdir())
        files = [
            _File(path, Position.parse(name[1]), Position.parse(name[2]))
            for path, name in found
            if name is not None
        ]
        return sorted(files, key=lambda file: file.end)


def _rows(entries: Iterable[LogEntry], repeats: Sequence[bool]) -> list[ArchivedEvent]:
    pairs = [(entry.position, event) for entry in entries for event in entry.interactions]
    if len(pairs) != len(repeats):
        raise Conflict(f"{len(pairs)} events came with {len(repeats)} repeat flags")
    return [
        ArchivedEvent(position, event, bool(repeat))
        for (position, event), repeat in zip(pairs, repeats, strict=True)
    ]


def _table(rows: Sequence[ArchivedEvent]) -> pa.Table:
    events = [row.interaction for row in rows]
    columns: list[list[Any]] = [
        [row.position.ms for row in rows],
        [row.position.seq for row in rows],
        [event.user_id for event in events],
        [event.item_id for event in events],
        [event.type for event in events],
        [event.time_ms for event in events],
        [event.event_id for event in events],
        [event.value for event in events],
        [event.recommendation_id for event in events],
        [row.repeat for row in rows],
        [repeat_hash(event.user_id, event.event_id) for event in events],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def _open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise CorruptEntry(f"archive file {path.name} cannot be read") from error
    found = (file.schema_arrow.metadata or {}).get(b"freshet.archive")
    if found != FORMAT:
        file.close()
        raise CorruptEntry(f"archive file {path.name} has format {found!r}")
    return file


def _read(path: Path, where: pc.Expression | None = None) -> Iterator[ArchivedEvent]:
    with _open(path) as file:
        try:
            for batch in file.iter_batches():
                part = pa.Table.from_batches([batch])
                yield from map(_event, (part if where is None else part.filter(where)).to_pylist())
        except pa.ArrowException as error:
            raise CorruptEntry(f"archive file {path.name} cannot be read") from error


def _event(row: dict[str, Any]) -> ArchivedEvent:
    return ArchivedEvent(
        Position(row["position_ms"], row["position_seq"]),
        Interaction(
            row["user_id"],
            row["item_id"],
            row["type"],
            row["time_ms"],
            row["event_id"],
            row["value"],
            row["recommendation_id"],
        ),
        row["repeat"],
    )


def _hashes(path: Path) -> Hashes:
    with _open(path) as file:
        table = file.read(columns=["repeat", "repeat_hash"])
    first = table.filter(pc.invert(table["repeat"]))
    return np.asarray(first["repeat_hash"].to_numpy(), dtype=np.uint64)
