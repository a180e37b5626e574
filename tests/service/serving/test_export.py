"""The export: pages by the events' time out of an archive that stands by arrival."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from service.domain.interactions import Interaction, LogEntry, Position
from service.serving.export import Export
from service.storage import parquet
from service.storage.archive import Archive
from service.storage.chain import Link
from service.storage.event_log import EventLog
from service.storage.keys import Keys

PAST_MS, FUTURE_MS = 100, 10
TIMES = [-90, 5, 0, 5, -40]
"""Times of a file's events against its arrival."""


def fill(archive: Archive, files: int) -> list[str]:
    """So many files, 50 ms apart, of two users' events; the ids of `u`'s in the order of time."""
    times: dict[str, int] = {}
    for number in range(files):
        start, end = Position(1_000 + 50 * number, 0), Position(1_050 + 50 * number, 0)
        events = tuple(
            Interaction(user, "i", "click", end.ms + time, f"{number}-{at}")
            for at, time in enumerate(TIMES)
            for user in ("u", "v")
        )
        times |= {event.event_id: event.time_ms for event in events}
        archive.write(start, end, [LogEntry(end, events)], [False] * len(events))
    return sorted(times, key=lambda event_id: times[event_id])


def test_a_page_reads_the_files_that_it_needs(
    tmp_path: Path, redis_client: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    expected = fill(archive, 40)
    opened: list[Link] = []
    read = parquet.tables

    def counted(link: Link, *args: object, **named: object) -> object:
        opened.append(link)
        return read(link, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(parquet, "tables", counted)
    export = Export(archive, EventLog(redis_client, keys), past_ms=PAST_MS, future_ms=FUTURE_MS)
    found: list[str] = []
    last_sent, more = None, True
    while more:
        opened.clear()
        page, more = export.page("u", [], 7, last_sent)
        found += [event.event_id for event in page]
        last_sent = page[-1].time_ms, page[-1].event_id
        assert len(opened) < 12
    assert found == expected


def test_what_was_imported_late_stands_where_it_happened(
    tmp_path: Path, redis_client: redis.Redis, keys: Keys
) -> None:
    archive = Archive(tmp_path)
    expected = fill(archive, 10)
    start, end = Position(2_000, 0), Position(2_001, 0)
    old = tuple(Interaction("u", "i", "click", time, f"old-{time}") for time in (3, 1, 2))
    archive.write(start, end, [LogEntry(end, old)], [False] * 3)
    export = Export(archive, EventLog(redis_client, keys), past_ms=PAST_MS, future_ms=FUTURE_MS)
    found: list[str] = []
    last_sent, more = None, True
    while more:
        page, more = export.page("u", [], 4, last_sent)
        found += [event.event_id for event in page]
        last_sent = page[-1].time_ms, page[-1].event_id
    assert found == ["old-1", "old-2", "old-3", *expected]
