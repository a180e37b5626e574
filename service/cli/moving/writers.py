"""Records into a file that is there whole or not at all; its name says the format."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from service.api.schemas.fields import format_time
from service.cli.moving.cells import list_cell
from service.errors import BadRequest
from service.storage.files import new_file
from service.streams import FORMATS

Rows = Sequence[Mapping[str, Any]]
Write = Callable[[Rows], None]
Time = pa.timestamp("ms", "UTC")
"""In records, times are Unix milliseconds."""


@contextmanager
def writing(path: Path, schema: pa.Schema, force: bool) -> Iterator[Write]:
    """A function that writes some rows more; the file takes its place when the block ends.

    Args:
        schema: the columns. CSV and JSON Lines have times as RFC 3339; Parquet and CSV have objects
            as JSON text, and CSV lists as `service.cli.moving.cells` does.
        force: replace a file that is there.

    Raises:
        BadRequest: an unknown format, a file that is there, or one that cannot be written.
    """
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind not in ("csv", "jsonl", "ndjson", "parquet") or path.name.lower().endswith(
        ".parquet.gz"
    ):
        raise BadRequest(f"{path}: unknown format; known are {FORMATS}")
    if path.exists() and not (force and path.is_file()):
        raise BadRequest(f"{path} is there already; --force replaces a file")
    if not path.parent.is_dir():
        raise BadRequest(f"{path}: there is no folder {path.parent}")
    try:
        with new_file(path) as temporary:
            if kind == "parquet":
                with pq.ParquetWriter(temporary, schema, compression="zstd") as file:
                    yield lambda rows: file.write_table(_table(rows, schema))
            else:
                with _text(temporary, path.name.lower().endswith(".gz")) as text:
                    yield _csv_writer(text, schema) if kind == "csv" else _json_writer(text, schema)
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror or error}") from None


@contextmanager
def _text(path: Path, packed: bool) -> Iterator[TextIO]:
    """A text file; a packed one is the same whenever it is written."""
    with path.open("wb") as plain:
        if not packed:
            with TextIOWrapper(plain, encoding="utf-8", newline="") as text:
                yield text
        else:
            with gzip.GzipFile("", "wb", fileobj=plain, mtime=0) as zipped:
                with TextIOWrapper(cast(Any, zipped), encoding="utf-8", newline="") as text:
                    yield text


def _table(rows: Rows, schema: pa.Schema) -> pa.Table:
    arrays = [
        pa.array([_parquet_value(row[field.name]) for row in rows], field.type) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _json_writer(text: TextIO, schema: pa.Schema) -> Write:
    def write(rows: Rows) -> None:
        for row in rows:
            record = {field.name: _in_words(row[field.name], field) for field in schema}
            text.write(orjson.dumps(record).decode() + "\n")

    return write


def _csv_writer(text: TextIO, schema: pa.Schema) -> Write:
    writer = csv.writer(text)
    writer.writerow(schema.names)

    def write(rows: Rows) -> None:
        for row in rows:
            writer.writerow([_cell(_in_words(row[field.name], field)) for field in schema])

    return write


def _in_words(value: Any, field: pa.Field) -> Any:
    return format_time(value) if pa.types.is_timestamp(field.type) else value


def _parquet_value(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _cell(value: Any) -> str:
    """A value as CSV text.

    Raises:
        BadRequest: readers would refuse a cell so long.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        value = list_cell(value)
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    if len(text) > csv.field_size_limit():
        raise BadRequest(
            f"{text[:40]}… has {len(text)} characters, more than a CSV cell may; export to .jsonl"
        )
    return text
