"""Recorded interactions in a file: CSV, CSV.gz, JSON Lines or Parquet, one reader for all.

Columns: `user_id`, `item_id`, `timestamp` (RFC 3339, or Unix seconds), and, where the stream has
them, `type` (default `click`), `value`, `period`, `event_id` and `recommendation_id`. What has no
value is empty or null; `nan` and `inf` are no numbers, as over HTTP.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from service.errors import BadRequest

REQUIRED = ("user_id", "item_id", "timestamp")
FORMATS = ".csv, .csv.gz, .jsonl, .jsonl.gz, .parquet"


Record = Mapping[str, Any]
"""A line by its column names; values are text where the format has no types."""


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One interaction of a file."""

    line: int
    """Where it stands: the line of a text file, the row of a Parquet file, from 1."""
    user_id: str
    item_id: str
    time_ms: int
    type: str
    value: float | None
    period: int | None
    event_id: str | None = None
    recommendation_id: str | None = None

    @classmethod
    def of(cls, line: int, record: Record) -> Self:
        """The interaction that a record is.

        Raises:
            ValueError: it is none; the message says why.
        """
        user_id, item_id = str(record["user_id"]), str(record["item_id"])
        if not user_id or not item_id:
            raise ValueError("user_id and item_id must not be empty")
        return cls(
            line=line,
            user_id=user_id,
            item_id=item_id,
            time_ms=time_ms(record["timestamp"]),
            type=str(record.get("type") or "click"),
            value=_number(record, "value"),
            period=_whole(record, "period"),
            event_id=_text_of(record, "event_id"),
            recommendation_id=_text_of(record, "recommendation_id"),
        )


class BadStream(BadRequest):
    """A file that cannot be read as interactions; the message names the line."""


def read_stream(path: Path) -> Iterator[StreamRow]:
    """The interactions of `path` in file order.

    Raises:
        BadStream: no such file, an unknown format, a missing column, or a line that is no event.
    """
    for line, record in read_records(path, REQUIRED):
        try:
            yield StreamRow.of(line, record)
        except ValueError as error:
            raise BadStream(f"{path}, line {line}: {error}") from None


def read_records(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, Record]]:
    """(line, record) of any of the formats.

    Raises:
        BadStream: as `read_stream`, for a file whose records lack one of `required`.
    """
    for line, found in read_lines(path, required):
        if isinstance(found, ValueError):
            raise BadStream(f"{path}, line {line}: {found}")
        yield line, found


def read_lines(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, Record | ValueError]]:
    """As `read_records`; in place of a line that is no record, the error that says why.

    Raises:
        BadStream: the file itself cannot be read (on), or lacks a column.
    """
    if not path.is_file():
        raise BadStream(f"{path}: there is no such file")
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        yield from _csv_lines(path, required)
    elif name.endswith((".jsonl", ".ndjson")):
        yield from _json_lines(path, required)
    elif name.endswith(".parquet"):
        yield from _parquet_lines(path, required)
    else:
        raise BadStream(f"{path}: unknown format; known are {FORMATS}")


def time_ms(value: Any) -> int:
    """Unix milliseconds of an RFC 3339 text (UTC when it has no offset) or of Unix seconds.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        try:
            return time_ms(datetime.fromisoformat(str(value)))
        except (ValueError, OverflowError):
            seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(
            f"timestamp {value!r} is neither RFC 3339 (2026-01-31T12:00:00Z) nor Unix seconds"
        )
    return round(seconds * 1000)


def _text_of(record: Record, name: str) -> str | None:
    value = record.get(name)
    return None if value is None or value == "" else str(value)


def _number(record: Record, name: str) -> float | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} {value!r} is no number")
    return number


def _whole(record: Record, name: str) -> int | None:
    number = _number(record, name)
    if number is None:
        return None
    if not number.is_integer():
        raise ValueError(f"{name} {record[name]!r} is no whole number")
    return int(number)


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    opened: TextIO
    try:
        if path.name.lower().endswith(".gz"):
            opened = gzip.open(path, "rt", encoding="utf-8", newline="")
        else:
            opened = path.open(encoding="utf-8", newline="")
        with opened:
            yield opened
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, csv.Error) as error:
        raise BadStream(f"{path}: damaged or not UTF-8 text: {error}") from None
    except OSError as error:
        raise BadStream(f"{path}: cannot be read: {error.strerror}") from None


def _csv_lines(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, Record | ValueError]]:
    with _text(path) as text:
        reader = csv.reader(text)
        header = next(reader, [])
        _check_columns(path, header, required)
        for cells in reader:
            if len(cells) == len(header):
                yield reader.line_num, dict(zip(header, cells, strict=True))
            elif cells:
                wrong = f"{len(cells)} cells where the header has {len(header)}"
                yield reader.line_num, ValueError(wrong)


def _json_lines(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, Record | ValueError]]:
    with _text(path) as text:
        for line, row in enumerate(text, start=1):
            if row.strip():
                yield line, _json_record(row, required)


def _json_record(row: str, required: tuple[str, ...]) -> Record | ValueError:
    try:
        record = json.loads(row)
    except (ValueError, RecursionError) as error:
        return ValueError(f"no JSON: {getattr(error, 'msg', error)}")
    if not isinstance(record, dict):
        return ValueError("must be a JSON object")
    return _lacking(record, required) or record


def _parquet_lines(
    path: Path, required: tuple[str, ...]
) -> Iterator[tuple[int, Record | ValueError]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names, required)
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    row += 1
                    yield row, _lacking(record, required) or record
    except (pa.ArrowException, OSError) as error:
        where = f"{path}, behind line {row}" if row else str(path)
        raise BadStream(f"{where}: no Parquet file: {error}") from None


def _lacking(record: Record, required: tuple[str, ...]) -> ValueError | None:
    missing = [name for name in required if record.get(name) is None]
    return ValueError(f"lacks {', '.join(missing)}") if missing else None


def _check_columns(path: Path, header: list[str], required: tuple[str, ...]) -> None:
    missing = [name for name in required if name not in header]
    if missing:
        raise BadStream(
            f"{path}: lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"it has {', '.join(header) or 'none'}"
        )
