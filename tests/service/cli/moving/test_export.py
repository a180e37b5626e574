"""`freshet export`: everything, once; and what is exported comes in again as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli.moving.held import HeldEvents
from service.domain.catalogue import Item
from service.domain.interactions import Interaction, LogEntry, Position
from service.errors import BadRequest
from service.sections import LogSettings
from service.storage.archive import Archive
from service.storage.event_log import EventLog
from tests.service.cli.moving.conftest import FORMATS, Place
from tests.service.cli.moving.test_import_items import FULL, content
from tests.service.learner.world import post

EVENTS = [
    Interaction("u1", "i1", "click", 1_000_000_000_123, "e1", None, "r-1"),
    Interaction('ü/"∞,', " 日本|\u2028", "rating", 999, "e,2", 4.1),
    *(Interaction(f"u{at % 3}", f"i{at}", "click", 5_000 + at, f"n{at}") for at in range(40)),
]
ITEMS = [
    FULL,
    Item("i2", title=' "x",\r\n', categories=("[a",), tags=("a", "b|c"), attributes={"é": "|"}),
    *(Item(f"j{at:05}", published_ms=-1 - at) for at in range(30)),
]


def fill(place: Place) -> None:
    """Some events archived, some in the log alone, and repeats of both in either."""
    post(place.settings, [*EVENTS[:20], EVENTS[3]])
    place.archive()
    post(place.settings, [EVENTS[0], *EVENTS[20:30]], batch=4)
    place.archive()
    post(place.settings, [EVENTS[25], EVENTS[1], *EVENTS[30:], EVENTS[31]], batch=5)
    place.catalogue.put_many([*ITEMS, Item("gone")])
    place.catalogue.delete("gone")


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_exported_comes_into_a_fresh_service_as_it_was(
    open_place: Callable[[str], Place], tmp_path: Path, kind: str
) -> None:
    old, new = open_place("old"), open_place("new")
    fill(old)
    events, items = tmp_path / f"events.{kind}", tmp_path / f"items.{kind}"
    said = old.freshet("export", "events", events)
    assert said.exit_code == 0, said.exception
    assert (said.stdout, said.stderr) == (f"{len(EVENTS)} events written\n", "")
    said = old.freshet("export", "items", items)
    assert said.exit_code == 0, said.exception
    assert (said.stdout, said.stderr) == (f"{len(ITEMS)} items written\n", "")
    assert new.freshet("import", "events", events).exit_code == 0
    assert new.freshet("import", "items", items).exit_code == 0
    assert new.logged() == EVENTS
    found, _ = new.catalogue.list(1_000)
    assert list(map(content, found)) == sorted(map(content, ITEMS), key=lambda item: item[0])
    assert not list(tmp_path.glob(".tmp-*"))


def test_the_users_are_those_of_the_events(place: Place, tmp_path: Path) -> None:
    fill(place)
    said = place.freshet("export", "users", tmp_path / "users.jsonl")
    assert said.stdout == "4 users written\n"
    users = [json.loads(line) for line in (tmp_path / "users.jsonl").read_text().splitlines()]
    assert users[0] == {
        "user_id": "u1",
        "events": 14,
        "first_event_at": "1970-01-01T00:00:05.001Z",
        "last_event_at": "2001-09-09T01:46:40.123Z",
    }
    assert sum(user["events"] for user in users) == len(EVENTS)


def test_nothing_is_replaced_unless_it_is_asked_for(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("mine")
    said = place.freshet("export", "events", file)
    assert "--force" in str(said.exception)
    assert file.read_text() == "mine"
    assert place.freshet("export", "events", file, "--force").exit_code == 0
    assert file.read_text().startswith("user_id,item_id,")
    for wrong in (tmp_path / "events.txt", tmp_path / "no" / "e.csv", tmp_path / "e.parquet.gz"):
        assert isinstance(place.freshet("export", "events", wrong).exception, BadRequest)
    tmp_path.joinpath("folder.csv").mkdir()
    said = place.freshet("export", "events", tmp_path / "folder.csv", "--force")
    assert isinstance(said.exception, BadRequest)


def test_a_cell_that_no_reader_takes_is_refused_and_nothing_is_left(
    place: Place, tmp_path: Path
) -> None:
    place.catalogue.put(Item("i", attributes={"x": 200_000 * "y"}))
    said = place.freshet("export", "items", tmp_path / "items.csv")
    assert ".jsonl" in str(said.exception)
    assert not list(tmp_path.glob("*items*"))
    assert not list(tmp_path.glob(".tmp-*"))
    assert place.freshet("export", "items", tmp_path / "items.jsonl").exit_code == 0


def test_an_archive_that_is_elsewhere_is_told(place: Place, tmp_path: Path) -> None:
    fill(place)
    (tmp_path / "elsewhere").mkdir()
    said = place.freshet("export", "events", tmp_path / "e.csv", DATA_DIR=tmp_path / "elsewhere")
    # 32 were archived; the last entry of them, with 3 events, stays in the log
    assert said.stderr.startswith("29 events that the log has taken are not here")


def test_a_learner_that_archives_and_trims_meanwhile_takes_nothing_away(place: Place) -> None:
    expected: list[str] = []
    for number in range(30):
        events = [Interaction("u", "i", "click", 1, f"{number}-{at}") for at in range(20)]
        post(place.settings, events, batch=10)
        expected += [event.event_id for event in events]
    archive = Archive(place.settings.data_dir / "archive")

    class Overtaken(EventLog):
        """Of what the reader is about to read, the first half is archived and trimmed before."""

        def read(self, after: Position, max_events: int) -> list[LogEntry]:
            entries = super().read(max(after, archive.end()), 100)
            if len(entries) > 2:
                entries = entries[: len(entries) // 2]
                events = [event for entry in entries for event in entry.interactions]
                archive.write(archive.end(), entries[-1].position, entries, [False] * len(events))
                self.trim(entries[-1].position)
            return super().read(after, 100)

    held = HeldEvents(archive, Overtaken(place.client, place.keys), LogSettings())
    assert (held.most, held.missing) == (600, 0)
    post(place.settings, [Interaction("u", "late", "click", 1, "late")])
    assert [event.event_id for event in held] == expected
