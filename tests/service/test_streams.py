from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.streams import BadStream, StreamRow, read_stream, time_ms

ROWS = [
    StreamRow(2, "u", "a", 1_500, "click", None, None),
    StreamRow(3, "v", "b", 1_767_225_600_000, "rating", 4.5, 2),
]
CSV = """user_id,item_id,timestamp,type,value,period
u,a,1.5,,,
v,b,2026-01-01T00:00:00Z,rating,4.5,2
"""


def test_csv_plain_and_compressed(tmp_path: Path) -> None:
    plain, packed = tmp_path / "events.csv", tmp_path / "events.csv.gz"
    plain.write_text(CSV)
    packed.write_bytes(gzip.compress(CSV.encode()))

    assert list(read_stream(plain)) == ROWS
    assert list(read_stream(packed)) == ROWS


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        "\n"
        '{"user_id": "u", "item_id": "a", "timestamp": 1.5}\n'
        '{"user_id": "v", "item_id": "b", "timestamp": "2026-01-01T00:00:00+00:00",'
        ' "type": "rating", "value": 4.5, "period": 2}\n'
    )

    assert list(read_stream(path)) == ROWS


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    table = pa.table(
        {
            "user_id": ["u", "v"],
            "item_id": ["a", "b"],
            "timestamp": [
                datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC),
                datetime(2026, 1, 1, tzinfo=UTC),
            ],
            "type": ["click", "rating"],
            "value": [None, 4.5],
            "period": [None, 2],
        }
    )
    pq.write_table(table, path)
    rows = list(read_stream(path))

    assert [row.time_ms for row in rows] == [1_500, 1_767_225_600_000]
    assert [(row.line, row.user_id, row.type, row.value, row.period) for row in rows] == [
        (1, "u", "click", None, None),
        (2, "v", "rating", 4.5, 2),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        (12.3456, 12_346),
        ("2026-01-01T00:00:00", 1_767_225_600_000),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600_000),
    ],
)
def test_times_are_rfc_3339_or_unix_seconds(value: object, expected: int) -> None:
    assert time_ms(value) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.csv", "user_id,item_id\nu,a\n", "lacks the column timestamp"),
        ("e.csv", "", "it has none"),
        ("e.csv", "user_id,item_id,timestamp\nu,a,1\nu,a,soon\n", "line 3: timestamp 'soon'"),
        ("e.csv", "user_id,item_id,timestamp\nu,a,nan\n", "line 2: timestamp 'nan'"),
        ("e.csv", "user_id,item_id,timestamp\nu,,1\n", "line 2: user_id and item_id"),
        ("e.csv", "user_id,item_id,timestamp\nu,a\n", "line 2: 2 cells"),
        ("e.csv", "user_id,item_id,timestamp,value\nu,a,1,much\n", "line 2: value 'much'"),
        ("e.csv", "user_id,item_id,timestamp,value\nu,a,1,inf\n", "line 2: value 'inf'"),
        ("e.csv", "user_id,item_id,timestamp,value\nu,a,1,nan\n", "line 2: value 'nan'"),
        ("e.csv", "user_id,item_id,timestamp,period\nu,a,1,nan\n", "line 2: period 'nan'"),
        (
            "e.jsonl",
            '{"user_id":"u","item_id":"a","timestamp":1,"value":NaN}\n',
            "line 1: value nan",
        ),
        ("e.csv", f"user_id,item_id,timestamp\nu,{200_000 * 'a'},1\n", "damaged"),
        ("e.csv", "user_id,item_id,timestamp,period\nu,a,1,1.5\n", "line 2: period"),
        ("e.jsonl", "{}\n", "line 1: lacks user_id, item_id, timestamp"),
        ("e.jsonl", "[]\n", "line 1: must be a JSON object"),
        ("e.jsonl", "\n{,}\n", "line 2: no JSON"),
        ("e.parquet", "no", "no Parquet file"),
        ("e.csv.gz", "no", "damaged"),
        ("e.txt", "", "unknown format"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(BadStream, match=message):
        list(read_stream(path))


def test_an_empty_value_is_none(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,timestamp,value\nu,a,1,\n")

    assert [row.value for row in read_stream(path)] == [None]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadStream, match="no such file"):
        list(read_stream(tmp_path / "events.csv"))
