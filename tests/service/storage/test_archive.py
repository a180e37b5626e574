"""The archive: every entry once, in the order of the log, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.interactions import Sample
from service.domain.interactions import START, LogEntry, Position
from service.errors import Conflict, CorruptEntry
from service.storage import compaction
from service.storage.archive import Archive
from service.storage.hashing import repeat_hash
from tests.service.storage.events import click


def entry(ms: int, *users: str) -> LogEntry:
    events = tuple(click(user, f"i{ms}", f"e{ms}-{n}") for n, user in enumerate(users))
    return LogEntry(Position(ms, 0), events)


ENTRIES = [entry(ms, "u1", f"u{ms}") for ms in range(1, 10)]


def put(archive: Archive, start: int, end: int, repeats: bool = False) -> None:
    """Archive the entries after `start` up to `end`."""
    found = [one for one in ENTRIES if start < one.position.ms <= end]
    archive.write(
        Position(start, 0),
        Position(end, 0),
        found,
        [repeats] * sum(len(e.interactions) for e in found),
    )


def positions(archive: Archive, after: int = 0, until: int | None = None) -> list[int]:
    limit = None if until is None else Position(until, 0)
    return [row.position.ms for row in archive.read(Position(after, 0), limit)]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_what_goes_in_comes_out(archive: Archive) -> None:
    events = (
        click("ü/∞", "日本", "e", value=2.5, recommendation_id="r-1", type="cart"),
        click("u", "i", "f"),
    )
    archive.write(START, Position(7, 1), [LogEntry(Position(7, 0), events)], [False, True])
    rows = list(archive.read())
    assert [row.interaction for row in rows] == list(events)
    assert [row.repeat for row in rows] == [False, True]
    assert {row.position for row in rows} == {Position(7, 0)}
    assert archive.end() == Position(7, 1)


def test_reading_crosses_files_in_the_order_of_the_log(archive: Archive) -> None:
    put(archive, 0, 3)
    put(archive, 3, 5)
    put(archive, 5, 9)
    assert positions(archive) == sorted([*range(1, 10)] * 2)
    assert positions(archive, after=2, until=6) == [3, 3, 4, 4, 5, 5, 6, 6]
    assert positions(archive, after=9) == []
    assert positions(archive, until=0) == []


def test_writing_again_changes_nothing(archive: Archive, tmp_path: Path) -> None:
    put(archive, 0, 5)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    put(archive, 0, 5, repeats=True)
    put(archive, 1, 4, repeats=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before
    assert not any(row.repeat for row in archive.read())


def test_other_bounds_add_only_what_is_missing(archive: Archive) -> None:
    put(archive, 0, 5)
    put(archive, 2, 8)
    assert positions(archive) == sorted([*range(1, 9)] * 2)
    assert archive.end() == Position(8, 0)


def test_a_range_without_events_is_covered(archive: Archive) -> None:
    assert not archive.covers(Position(1, 0))
    archive.write(START, Position(4, 0), [], [])
    assert archive.covers(Position(4, 0))
    assert not archive.covers(Position(4, 1))
    assert list(archive.read()) == []


def test_rows_that_do_not_belong_are_refused(archive: Archive) -> None:
    with pytest.raises(Conflict):
        archive.write(Position(1, 0), Position(5, 0), [ENTRIES[0]], [False, False])
    with pytest.raises(Conflict):
        archive.write(START, Position(5, 0), [ENTRIES[0]], [False])
    assert archive.end() == START


def test_one_users_events(archive: Archive) -> None:
    put(archive, 0, 4)
    put(archive, 4, 9)
    assert [row.position.ms for _, rows in archive.events_of("u1") for row in rows] == [
        1,
        1,
        *range(2, 10),
    ]
    assert [row.position.ms for _, rows in archive.events_of("u7") for row in rows] == [7]
    assert [
        row.position.ms for _, rows in archive.events_of("u1", after=Position(6, 0)) for row in rows
    ] == [7, 8, 9]
    assert not any(rows for _, rows in archive.events_of("nobody"))


def test_the_repeat_window_as_it_was(archive: Archive) -> None:
    put(archive, 0, 3)
    put(archive, 3, 6, repeats=True)
    put(archive, 6, 9)
    all_of_it = archive.recent_hashes(since_ms=0, max_ids=100)
    assert [(ms, len(part)) for ms, part in all_of_it] == [(3, 6), (6, 0), (9, 6)]
    assert all_of_it[0][1].dtype == np.uint64
    assert repeat_hash("u1", "e1-0") in all_of_it[0][1].tolist()
    assert [ms for ms, _ in archive.recent_hashes(5, 100)] == [6, 9]
    assert [ms for ms, _ in archive.recent_hashes(0, 6)] == [6, 9]
    assert [ms for ms, _ in archive.recent_hashes(0, 1)] == [9]


def overlap(tmp_path: Path, start: int, end: int, write: Callable[[], None]) -> Archive:
    """A writer that is paused before its rename, while another does `write`."""
    waiting = [write]

    def paused(step: str) -> None:
        if step == "rename" and waiting:
            waiting.pop()()

    put(Archive(tmp_path, step=paused), start, end)
    return Archive(tmp_path)


@pytest.mark.parametrize("end", [3, 5, 6, 7, 9])
def test_a_writer_that_slept_doubles_nothing(tmp_path: Path, end: int) -> None:
    other = Archive(tmp_path)
    put(other, 0, 2)

    def write() -> None:
        put(other, 2, 5)
        put(other, 5, 7)

    archive = overlap(tmp_path, 1, end, write)
    last = max(end, 7)
    assert positions(archive) == sorted([*range(1, last + 1)] * 2)
    assert positions(archive, after=4, until=6) == [5, 5, 6, 6]
    assert archive.count(START) == 2 * last
    assert archive.count(Position(4, 0), Position(6, 0)) == 4
    found = archive.events_of("u1")
    assert [row.position.ms for _, rows in found for row in rows] == [1, *range(1, last + 1)]
    assert sum(len(part) for _, part in archive.recent_hashes(0, 100)) == 2 * last


def test_counting_reads_no_rows(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    put(archive, 0, 5)
    put(archive, 5, 9)
    monkeypatch.delattr(pq.ParquetFile, "iter_batches")
    assert archive.count(START) == 18
    assert archive.count(Position(5, 0)) == 8


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SIZES", ((4, 2), (1_000, 3)))


@pytest.mark.usefixtures("small_files")
def test_small_files_are_merged_and_nothing_else_changes(archive: Archive, tmp_path: Path) -> None:
    for end in range(1, 10):
        put(archive, end - 1, end, repeats=end == 4)
    before = list(archive.read())
    assert archive.compact() > 0
    while archive.compact():
        pass
    assert list(archive.read()) == before
    assert len(list(tmp_path.rglob("*.parquet"))) < 5
    assert archive.count(Position(3, 0)) == 12
    put(archive, 3, 9, repeats=True)
    assert list(archive.read()) == before


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("step", ["write", "rename", "fsync directory"])
def test_a_merge_that_dies_is_done_again(tmp_path: Path, step: str) -> None:
    archive = Archive(tmp_path)
    for end in range(1, 4):
        put(archive, end - 1, end)
    with pytest.raises(KeyboardInterrupt):
        Archive(tmp_path, step=crash_at(step)).compact()
    assert positions(archive) == [1, 1, 2, 2, 3, 3]
    archive.compact()
    assert positions(archive) == [1, 1, 2, 2, 3, 3]
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


@pytest.mark.usefixtures("small_files")
def test_a_reader_beside_a_merge_sees_each_event_once(archive: Archive) -> None:
    for end in range(1, 10):
        put(archive, end - 1, end)
    seen = []
    for row in archive.read():
        seen.append(row.position.ms)
        if len(seen) == 3:
            assert archive.compact() > 0
    assert seen == sorted([*range(1, 10)] * 2)


def crash_at(step: str) -> Callable[[str], None]:
    def hook(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt(step)

    return hook


@pytest.mark.parametrize("step", ["write", "rename", "fsync directory"])
def test_a_crash_leaves_a_file_whole_or_none(tmp_path: Path, step: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        put(Archive(tmp_path, step=crash_at(step)), 0, 5)
    again = Archive(tmp_path)
    assert again.end() == (Position(5, 0) if step == "fsync directory" else START)
    put(again, 0, 5)
    assert positions(again) == sorted([*range(1, 6)] * 2)
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".tmp")] == []


def test_foreign_files_are_left_alone_and_broken_ones_named(
    archive: Archive, tmp_path: Path
) -> None:
    put(archive, 0, 3)
    (tmp_path / "events" / "notes.txt").write_text("mine")
    assert len(positions(archive)) == 6
    path = next(tmp_path.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptEntry, match="0-0_3-0"):
        list(archive.read())


def test_draws_are_kept_by_their_digest(archive: Archive, tmp_path: Path) -> None:
    drawn = [Sample(f"u{n}", ("a", "b"), 1, ("click",), (1.0,), n, n) for n in range(3)]
    digest = archive.write_draw("5-0", drawn)
    assert archive.write_draw("5-0", drawn) == digest
    assert archive.write_draw("5-0", []) != digest, "another draw does not take its place"
    assert archive.read_draw("5-0", digest) == drawn
    with pytest.raises(CorruptEntry):
        archive.read_draw("6-0", digest)
    path = next(tmp_path.glob(f"draws/*{digest[:12]}*"))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(CorruptEntry):
        archive.read_draw("5-0", digest)
    archive.keep_draws({("5-0", digest)})
    assert list(path.parent.iterdir()) == [path]
    archive.keep_draws(set())
    assert not path.exists()
