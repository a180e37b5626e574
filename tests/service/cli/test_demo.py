"""The demo's streams and figures, without a service under them."""

from __future__ import annotations

import gzip
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from service.cli.demo import read_rate
from service.cli.demo.observer import observed
from service.cli.demo.source import FileSource
from service.cli.demo.synthetic import SyntheticSource
from service.errors import FreshetError, SettingsError

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


def test_the_synthetic_stream_is_the_same_from_any_row_on() -> None:
    source = SyntheticSource()
    rows = list(islice(source.rows(0), 500))
    assert [row.number for row in rows] == list(range(500))
    assert list(islice(source.rows(123), 300)) == rows[123:423]
    assert list(islice(SyntheticSource(1).rows(0), 500)) != rows


def test_the_synthetic_stream_has_an_order_that_popularity_cannot_know() -> None:
    rows = list(islice(SyntheticSource().rows(0), 20_000))
    following: dict[str, Counter[str]] = {}
    for before, after in zip(rows, rows[1:], strict=False):
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


def test_rates_are_numbers_or_max() -> None:
    assert read_rate("max") is None
    assert read_rate("250") == 250.0
    for wrong in ("0", "-1", "fast", "nan"):
        with pytest.raises(SettingsError, match="--rate"):
            read_rate(wrong)


def test_an_observation_without_any_version_has_no_figures() -> None:
    rows = [{"version": 1, "status": "active", "metrics": {}, "gate": {}, "learned_until": None}]
    seen = observed(rows, {})
    assert (seen.version, seen.lessons, seen.lag_events) == (1, (), None)
