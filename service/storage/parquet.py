"""Archived events as Parquet: the columns, and reading no more of a file than is asked for.

A file's row groups stand in the order of the log, and their statistics say where each lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.domain.interactions import MAX_TIME_MS, Interaction, Position
from service.errors import CorruptEntry
from service.storage.chain import Link
from service.storage.hashing import repeat_hash

FORMAT = b"1"
SCHEMA = pa.schema(
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
GROUP_ROWS = 65_536
"""Rows of a row group of a merged file, about."""
_BATCH_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class ArchivedEvent:
    """One event as the archive holds it."""

    position: Position
    interaction: Interaction
    repeat: bool
    """The same (user, event id) came before it, within the repeat window: not to be learned."""


def table_of(rows: Sequence[ArchivedEvent]) -> pa.Table:
    """The rows as `SCHEMA` has them."""
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
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def events_of(part: pa.Table) -> Iterator[ArchivedEvent]:
    """The rows of a table with all the columns."""
    return map(_event, part.to_pylist())


def row_count(link: Link) -> int:
    """Rows in the link's part: from the file's own count, when all of it is meant."""
    with _opened(link) as file:
        groups = _groups_within(file, link)
        if len(groups) == file.num_row_groups and not _is_clipped(file, link):
            return int(file.metadata.num_rows)
    columns = ["position_ms", "position_seq"]
    return sum(part.num_rows for part in tables(link, columns))


def earliest_ms(link: Link) -> int:
    """No event of the link's file happened before it, by the file's own statistics.

    Raises:
        FileNotFoundError: the file has been merged into a bigger one since.
        CorruptEntry: the file cannot be read, or is of a format this release does not know.
    """
    with _opened(link) as file:
        at = SCHEMA.get_field_index("time_ms")
        groups = range(file.metadata.num_row_groups)
        spans = [file.metadata.row_group(group).column(at).statistics for group in groups]
    if any(span is None or not span.has_min_max for span in spans):
        return 0
    return min((int(span.min) for span in spans), default=MAX_TIME_MS)


def tables(
    link: Link, columns: Sequence[str] | None = None, user_id: str | None = None
) -> Iterator[pa.Table]:
    """The rows of the link's part, some thousands at a time.

    Args:
        columns: of `SCHEMA`; None is all. The positions must be among them.
        user_id: this user's rows alone; the other columns are read only where there are any.

    Raises:
        FileNotFoundError: the file has been merged into a bigger one since.
        CorruptEntry: the file cannot be read, or is of a format this release does not know.
    """
    with _opened(link) as file:
        try:
            for group in _groups_within(file, link):
                if user_id is None or _names_user(file, group, user_id):
                    yield from _rows_of_group(file, group, link, columns, user_id)
        except pa.ArrowException as error:
            raise _corrupt(link) from error


def regrouped(parts: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of at least `rows` each, but for the last."""
    held: list[pa.Table] = []
    for part in parts:
        held.append(part)
        if sum(one.num_rows for one in held) >= rows:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _rows_of_group(
    file: pq.ParquetFile,
    group: int,
    link: Link,
    columns: Sequence[str] | None,
    user_id: str | None,
) -> Iterator[pa.Table]:
    names = None if columns is None else list(columns)
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=names):
        part = pa.Table.from_batches([batch])
        chosen = part.filter(_within(link))
        if user_id is not None:
            chosen = chosen.filter(pc.field("user_id") == user_id)
        if chosen.num_rows:
            yield chosen


def _within(link: Link) -> pc.Expression:
    ms, seq = pc.field("position_ms"), pc.field("position_seq")
    behind = (ms > _number(link.start.ms)) | (
        (ms == _number(link.start.ms)) & (seq > _number(link.start.seq))
    )
    before = (ms < _number(link.end.ms)) | (
        (ms == _number(link.end.ms)) & (seq <= _number(link.end.seq))
    )
    return behind & before


def _number(value: int) -> pa.Scalar:
    return pa.scalar(value, pa.uint64())


def _groups_within(file: pq.ParquetFile, link: Link) -> list[int]:
    """The row groups that may hold rows of the link's part."""
    found = []
    for group in range(file.num_row_groups):
        span = file.metadata.row_group(group).column(0).statistics
        if span is None or (span.min <= link.end.ms and span.max >= link.start.ms):
            found.append(group)
    return found


def _is_clipped(file: pq.ParquetFile, link: Link) -> bool:
    """Whether rows of the file may lie outside of the link's part."""
    return file.metadata.num_rows > 0 and link.path.stem != f"{link.start}_{link.end}"


def _names_user(file: pq.ParquetFile, group: int, user_id: str) -> bool:
    """Whether a user has rows in a row group: by its statistics, else by that column alone."""
    span = file.metadata.row_group(group).column(SCHEMA.get_field_index("user_id")).statistics
    if span is not None and span.has_min_max and not span.min <= user_id <= span.max:
        return False
    users = file.read_row_group(group, columns=["user_id"])["user_id"]
    return bool(pc.any(pc.equal(users, user_id)).as_py())


def _opened(link: Link) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(link.path)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _corrupt(link) from error
    found = (file.schema_arrow.metadata or {}).get(b"freshet.archive")
    if found != FORMAT:
        file.close()
        raise CorruptEntry(f"archive file {link.path.name} has format {found!r}")
    return file


def _corrupt(link: Link) -> CorruptEntry:
    return CorruptEntry(f"archive file {link.path.name} cannot be read")


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
