"""The demo's streams and figures, without a service under them."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import pytest

from service.cli.demo.feeder import Feeder, check_directory
from service.cli.demo.observer import observed
from service.cli.demo.run import Pace, read_pace, window_size
from service.cli.demo.source import FileSource
from service.cli.demo.synthetic import SyntheticSource
from service.errors import FreshetError, SettingsError
from service.streams import BadStream
from tests.integration.running import ROOT

CSV = "user_id,item_id,timestamp,type,value\nu1,i1,1,click,\nu2,i2,2,rating,4.5\nu1,i3,3,,\n"


def test_a_file_is_read_from_any_row_on(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()))
    source = FileSource(path)
    rows = list(source.rows(0))
    assert source.total == 3
    assert [(row.number, row.user_id, row.item_id) for row in rows] == [
        (0, "u1", "i1"),
        (1, "u2", "i2"),
        (2, "u1", "i3"),
    ]
    assert [row.type for row in rows] == ["click", "rating", "click"]
    assert [row.value for row in rows] == [None, 4.5, None]
    assert list(source.rows(2)) == rows[2:]


def test_the_digest_names_the_content(tmp_path: Path) -> None:
    for name, text in (("a.csv", CSV), ("b.csv", CSV), ("c.csv", CSV + "u3,i1,4,click,\n")):
        (tmp_path / name).write_text(text)
    a, b, c = (FileSource(tmp_path / name).digest for name in ("a.csv", "b.csv", "c.csv"))
    assert a == b != c


def test_a_file_without_users_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("item_id,timestamp\ni1,1\n")
    with pytest.raises(FreshetError, match="user_id"):
        FileSource(path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("", "there are no interactions"),
        ("u1,i1,yesterday\n", "line 3: timestamp 'yesterday'"),
        ("u1,,1\n", "line 3: user_id and item_id"),
        ("u1,i1\n", "line 3: 2 cells"),
    ],
)
def test_a_bad_file_is_a_sentence_before_anything_starts(
    tmp_path: Path, rows: str, says: str
) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,timestamp\n" + ("u0,i0,1\n" + rows if rows else ""))
    said = subprocess.run(
        [sys.executable, "-m", "service", "demo", "--events", str(path)],
        env={**os.environ, "FRESHET_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=60.0,
        cwd=ROOT,
    )
    assert said.returncode == 1
    assert says in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "data").exists()


def test_a_file_that_turns_bad_in_the_middle_is_not_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(CSV)
    source = FileSource(path)
    path.write_text(CSV.replace("u2,i2,2", "u2,i2,later"))
    feeder = Feeder("http://127.0.0.1:1", source, tmp_path / "state", rate=None)
    feeder.start()
    feeder.join(timeout=10.0)
    assert not feeder.is_alive()
    assert isinstance(feeder.error, BadStream)
    assert "line 3" in str(feeder.error)


def test_a_directory_keeps_to_one_source(tmp_path: Path) -> None:
    source, other = SyntheticSource(), SyntheticSource(seed=1)
    check_directory(tmp_path / "demo", source)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / f"{source.digest}.json").write_text('{"next": 3}')
    check_directory(tmp_path / "demo", source)
    with pytest.raises(SettingsError, match="another source"):
        check_directory(tmp_path / "demo", other)


def test_the_synthetic_stream_is_the_same_from_any_row_on() -> None:
    source = SyntheticSource()
    rows = list(islice(source.rows(0), 500))
    assert [row.number for row in rows] == list(range(500))
    assert list(islice(source.rows(123), 300)) == rows[123:423]
    assert list(islice(SyntheticSource(1).rows(0), 500)) != rows


def test_the_synthetic_stream_has_an_order_that_popularity_cannot_know() -> None:
    rows = list(islice(SyntheticSource().rows(0), 20_000))
    following: dict[str, Counter[str]] = {}
    for before, after in pairwise(rows):
        if before.user_id == after.user_id:
            following.setdefault(before.item_id, Counter())[after.item_id] += 1
    pairs = [counts for counts in following.values() if counts.total() >= 20]
    known = sum(counts.most_common(1)[0][1] for counts in pairs) / sum(
        counts.total() for counts in pairs
    )
    favourite = Counter(row.item_id for row in rows).most_common(1)[0][1] / len(rows)
    assert known > 0.35
    assert favourite < 0.05


def test_the_synthetic_stream_drifts() -> None:
    def taste_of_busiest(start: int) -> str:
        rows = islice(SyntheticSource().rows(start), 10_000)
        tastes = Counter(row.item_id.split("-")[1] for row in rows if row.user_id == "user-0")
        return tastes.most_common(1)[0][0]

    assert taste_of_busiest(0) != taste_of_busiest(60_000)
    late = {row.item_id for row in islice(SyntheticSource().rows(60_000), 10_000)}
    early = {row.item_id for row in islice(SyntheticSource().rows(0), 10_000)}
    assert late - early


def test_a_pace_is_a_number_or_a_word() -> None:
    assert read_pace("max") == Pace(None, waits=False)
    assert read_pace("250") == Pace(250.0, waits=False)
    assert read_pace("auto").waits
    for wrong in ("0", "-1", "fast", "nan"):
        with pytest.raises(SettingsError, match="--rate"):
            read_pace(wrong)


def test_windows_are_small_enough_to_be_seen() -> None:
    assert window_size(None) == window_size(10_000) == 1_000
    assert window_size(225_000) == 3_000
    assert window_size(10**9) == 10_000


def test_an_observation_without_any_version_has_no_figures() -> None:
    rows = [{"version": 1, "status": "active", "metrics": {}, "gate": {}, "learned_until": None}]
    seen = observed(rows, {})
    assert (seen.version, seen.lessons, seen.lag_events) == (1, (), None)


def test_an_observation_says_what_the_versions_say() -> None:
    learned = {
        "version": 2,
        "status": "active",
        "learned_until": "2026-01-31T12:00:00Z",
        "metrics": {
            "prequential": {"recall@20": 0.4, "n": 9, "popularity": {"recall@20": 0.1}},
            "positions_per_s": 31_000.0,
        },
        "gate": {"verdict": "accepted", "old": {"recall@20": 0.5, "reference_recall@20": 0.6}},
    }
    first = {"version": 1, "status": "retired", "metrics": {}, "gate": {}, "learned_until": None}
    seen = observed([learned, first], {"event_log": {"lag_events": 7}})
    assert (seen.version, seen.lag_events, len(seen.lessons)) == (2, 7, 1)
    said = seen.lessons[0]
    assert (said.fresh, said.fresh_popularity) == (0.4, 0.1)
    assert (said.old, said.old_before) == (0.5, 0.6)
    assert (said.positions_per_s, said.verdict) == (31_000.0, "accepted")
