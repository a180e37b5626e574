"""`freshet import events`: every line once, whatever happens in between."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from service.domain.interactions import Interaction
from service.domain.weights import EventWeights
from service.errors import BadRequest, Conflict, OutcomeUnknown
from service.sections import LogSettings
from service.storage.connections import connect_async
from service.storage.history import HistoryStore
from service.storage.imports import ImportRecords, Mark
from service.storage.ingest import Ingest
from service.storage.popularity import PopularityStore
from service.streams import BadStream
from tests.service.cli.moving.conftest import FORMATS, Place, clicks, write
from tests.service.learner.world import post

ROOT = Path(__file__).parents[4]
LIFE_MS = 365 * 24 * 3_600_000


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_whole_and_in_its_order(
    place: Place, tmp_path: Path, kind: str
) -> None:
    rows = [
        row | {"type": "rating" if at % 2 else "click", "value": at / 8, "period": 3}
        for at, row in enumerate(clicks(25))
    ]
    file = write(tmp_path / f"events.{kind}", rows)
    said = place.freshet("import", "events", file, LIMITS__MAX_BATCH=10)
    assert said.exit_code == 0, said.stderr
    assert said.stdout == "25 events are in the log\n"
    assert said.stderr == "not read: period\n", "no bar where there is no terminal"
    events = place.logged()
    assert [
        (event.user_id, event.item_id, event.type, event.value, event.time_ms) for event in events
    ] == [
        (row["user_id"], row["item_id"], row["type"], row["value"], row["timestamp"] * 1_000)
        for row in rows
    ]
    digest = sha256(file.read_bytes()).hexdigest()[:32]
    first = 1 if kind.startswith(("jsonl", "parquet")) else 2
    assert [event.event_id for event in events] == [f"{digest}:{first + at}" for at in range(25)]
    assert place.log.length() == 3


def test_ids_of_the_file_are_kept(place: Place, tmp_path: Path) -> None:
    rows = [
        row | {"event_id": f"own-{at}" if at else "", "recommendation_id": "r-1"}
        for at, row in enumerate(clicks(3))
    ]
    place.freshet("import", "events", write(tmp_path / "e.csv", rows))
    ids = [event.event_id for event in place.logged()]
    assert ids[1:] == ["own-1", "own-2"]
    assert ids[0].endswith(":2")
    assert {event.recommendation_id for event in place.logged()} == {"r-1"}


def test_a_file_that_is_in_is_refused_also_when_the_repeat_window_is_shorter(
    place: Place, tmp_path: Path
) -> None:
    file = write(tmp_path / "e.csv", clicks(60))
    small = {"LOG__DEDUPE_MAX_IDS": 10, "LIMITS__MAX_BATCH": 10}
    assert place.freshet("import", "events", file, **small).exit_code == 0
    said = place.freshet("import", "events", file.rename(tmp_path / "other.csv"), **small)
    assert isinstance(said.exception, Conflict)
    assert "its 60 events are in since 20" in str(said.exception)
    assert place.log.total() == 60


def test_with_again_what_is_remembered_is_learned_once(place: Place, tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", clicks(60))
    place.freshet("import", "events", file)
    place.archive()
    said = place.freshet("import", "events", file, "--again")
    assert said.stdout == "60 events are in the log\n"
    assert place.log.total() == 120
    place.archive()
    said = place.freshet("export", "events", tmp_path / "out.csv")
    assert said.stdout == "60 events written\n"
    assert isinstance(place.freshet("import", "events", file).exception, Conflict)


def test_the_record_is_forgotten_after_its_days(place: Place, tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", clicks(3))
    place.freshet("import", "events", file)
    key = place.keys.import_record(sha256(file.read_bytes()).hexdigest())
    assert LIFE_MS - 60_000 < int(place.client.pttl(key)) <= LIFE_MS
    place.freshet("import", "events", file, "--again", LOG__IMPORT_DAYS=1)
    assert 0 < int(place.client.pttl(key)) <= 24 * 3_600_000


def test_killed_in_the_middle_it_goes_on_and_no_line_is_in_twice(
    place: Place, tmp_path: Path
) -> None:
    file = write(tmp_path / "e.jsonl", clicks(4_000))
    environment = {
        **os.environ,
        **place.environment,
        "FRESHET_LIMITS__MAX_BATCH": "4",
        "FRESHET_LOG__HISTORY_SIZE": "5",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "import", "events", str(file)],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while place.log.total() < 50 and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = place.log.total()
    assert 50 <= before < 4_000
    said = place.freshet("import", "events", file)
    assert said.exit_code == 0, said.stderr
    assert said.stderr == f"going on behind line {before}\n"
    assert said.stdout == f"4000 events are in the log, {before} of them by an earlier run\n"
    assert place.log.total() == 4_000
    assert [event.time_ms for event in place.logged()] == [
        row["timestamp"] * 1_000 for row in clicks(4_000)
    ]


def test_a_batch_that_the_record_knows_is_not_taken(place: Place) -> None:
    """What fences two imports of one file, and one that did not hear the answer to a batch."""

    async def race() -> tuple[int, int]:
        async with connect_async(str(place.settings.redis_url)) as client:
            ingest = Ingest(client, place.keys, LogSettings(), EventWeights({"click": 1.0}))
            event = Interaction("u", "i", "click", 1_000, "e")
            await ingest.append([event], Mark("d", 0, 4))
            for mark in (Mark("d", 0, 4), Mark("d", 3, 9)):
                with pytest.raises(Conflict, match="another import"):
                    await ingest.append([event], mark)
            await ingest.append([event], Mark("d", 4, 9))
            await ingest.append([event], Mark("other", 0, 9))
            record = await ImportRecords(client, place.keys).read("d")
            return record.line, record.events

    assert asyncio.run(race()) == (9, 2)
    assert place.log.total() == 3


def test_an_answer_that_did_not_come_is_no_second_append(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, lost = Ingest.append, list[Mark | None]()

    async def deaf(self: Ingest, batch: list[Interaction], mark: Mark | None = None) -> object:
        position = await append(self, batch, mark)
        if len(lost) < 2 and not (lost and lost[-1] == mark):
            lost.append(mark)
            raise OutcomeUnknown("the answer is lost")
        return position

    monkeypatch.setattr(Ingest, "append", deaf)
    monkeypatch.setattr(OutcomeUnknown, "retry_after_s", 0.01)
    file = write(tmp_path / "e.csv", clicks(30))
    said = place.freshet("import", "events", file, LIMITS__MAX_BATCH=10)
    assert said.exit_code == 0, said.exception
    assert said.stderr == "waiting: the answer is lost\n"
    assert len(lost) == 2
    assert place.log.total() == 30


def test_interrupted_it_says_how_to_go_on(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, append = write(tmp_path / "e.csv", clicks(30)), Ingest.append

    async def interrupted(self: Ingest, batch: list[Interaction], mark: Mark) -> object:
        if mark.before:
            raise KeyboardInterrupt
        return await append(self, batch, mark)

    with monkeypatch.context() as patched:
        patched.setattr(Ingest, "append", interrupted)
        said = place.freshet("import", "events", file, LIMITS__MAX_BATCH=10)
    assert said.exit_code == 130
    assert said.stderr == "interrupted: the same command goes on with it\n"
    assert place.log.total() == 10
    said = place.freshet("import", "events", file)
    assert said.stdout == "30 events are in the log, 10 of them by an earlier run\n"


def test_a_full_log_is_waited_for(place: Place, tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", clicks(30))

    def make_room() -> None:
        while place.log.length() < 2:
            time.sleep(0.01)
        time.sleep(0.2)
        assert place.log.total() == 20
        place.client.xtrim(place.keys.log, maxlen=0, approximate=False)

    learner = threading.Thread(target=make_room)
    learner.start()
    said = place.freshet("import", "events", file, LIMITS__MAX_BATCH=10, LOG__MAX_ENTRIES=2)
    learner.join()
    assert said.exit_code == 0, said.exception
    assert said.stderr == "waiting: the event log is full: learning is behind\n"
    assert place.log.total() == 30


def test_a_bad_line_stops_before_anything_is_sent(place: Place, tmp_path: Path) -> None:
    rows = [*clicks(2_500), {"user_id": "u", "item_id": "i", "timestamp": "soon"}]
    file = write(tmp_path / "e.csv", rows)
    said = place.freshet("import", "events", file)
    assert isinstance(said.exception, BadStream)
    assert "line 2502: timestamp 'soon'" in str(said.exception)
    assert "nothing was taken in" in str(said.exception)
    assert place.log.total() == 0


def test_bad_lines_are_skipped_with_their_reasons(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "e.jsonl"
    year = time.gmtime().tm_year + 1
    file.write_text(
        '{"user_id": "u", "item_id": "a", "timestamp": 1}\n'
        "{oh\n"
        "7\n"
        '{"user_id": "u", "item_id": "a"}\n'
        '{"user_id": "u", "item_id": "popular", "timestamp": 1}\n'
        '{"user_id": "u\\u0000", "item_id": "a", "timestamp": 1}\n'
        '{"user_id": "u\\ud800", "item_id": "a", "timestamp": 1}\n'
        '{"user_id": "u", "item_id": "a", "timestamp": 1, "type": "stare"}\n'
        '{"user_id": "u", "item_id": "a", "timestamp": 1, "value": "much"}\n'
        '{"user_id": "u", "item_id": "a", "timestamp": -1}\n'
        f'{{"user_id": "u", "item_id": "a", "timestamp": "{year}-12-31T00:00:00Z"}}\n'
        f'{{"user_id": "u", "item_id": "a", "timestamp": 1{400 * "0"}}}\n'
        f"{100_000 * '['}\n"
        f'{{"user_id": "{257 * "u"}", "item_id": "a", "timestamp": 1}}\n'
        '{"user_id": "u", "item_id": "b", "timestamp": 2}\n'
    )
    said = place.freshet("import", "events", file, "--on-error", "skip")
    assert said.exit_code == 0, said.exception
    assert said.stdout == "2 events are in the log; 13 lines skipped\n"
    reasons = said.stderr.splitlines()
    expected = [
        "line 2 skipped: no JSON",
        "line 3 skipped: must be a JSON object",
        "line 4 skipped: lacks timestamp",
        "line 5 skipped: item_id: this id is the name of a list",
        "line 6 skipped: user_id: ",
        "line 7 skipped: user_id: ",
        "line 8 skipped: type: must be one of the configured event types",
        "line 9 skipped: value 'much' is no number",
        "line 10 skipped: timestamp: lies before 1970 or too far ahead",
        "line 11 skipped: timestamp: lies before 1970 or too far ahead",
        "line 12 skipped: timestamp ",
        "line 13 skipped: no JSON",
        "line 14 skipped: user_id: ",
    ]
    assert len(reasons) == len(expected)
    for reason, start in zip(reasons, expected, strict=True):
        assert reason.startswith(start)
    assert [event.item_id for event in place.logged()] == ["a", "b"]


def test_a_value_that_is_no_number_is_a_bad_line(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "e.csv"
    values = ("nan", "-inf", "1e999", "", "2")
    lines = [f"u,i{value},{at},{value}" for at, value in enumerate(values)]
    file.write_text("\n".join(["user_id,item_id,timestamp,value", *lines]))
    said = place.freshet("import", "events", file, "--on-error", "skip")
    assert said.stdout == "2 events are in the log; 3 lines skipped\n"
    assert said.stderr.splitlines() == [
        f"line {line} skipped: value '{value}' is no number"
        for line, value in enumerate(values[:3], 2)
    ]
    assert [(event.item_id, event.value) for event in place.logged()] == [("i", None), ("i2", 2.0)]


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("e.csv", b"user_id,item_id,timestamp\n", "nothing in it"),
        ("e.csv", b"user_id,item_id,timestamp\n,,\n", "nothing in it"),
        ("e.csv", b"user_id,item_id\nu,i\n", "lacks the column timestamp"),
        ("e.csv.gz", b"no", "damaged"),
        ("e.parquet", b"no", "no Parquet file"),
        ("e.txt", b"", "unknown format"),
    ],
)
def test_a_file_that_is_none_is_a_sentence(
    place: Place, tmp_path: Path, name: str, content: bytes, wrong: str
) -> None:
    (tmp_path / name).write_bytes(content)
    said = place.freshet("import", "events", tmp_path / name, "--on-error", "skip")
    assert isinstance(said.exception, BadStream)
    assert wrong in str(said.exception)
    assert isinstance(place.freshet("import", "events", "nowhere.csv").exception, BadStream)


def test_old_events_push_no_newer_ones_out_and_are_told_of_where_out_of_order(
    place: Place, tmp_path: Path
) -> None:
    now_ms = time.time_ns() // 1_000_000
    recent = [Interaction("u0", "new", "click", now_ms + at, f"n{at}") for at in range(199)]
    post(place.settings, recent)
    rows = [row | {"user_id": "u0"} for row in clicks(50)]
    said = place.freshet("import", "events", write(tmp_path / "e.csv", rows[::-1]))
    assert said.stderr.startswith("49 events happened before one that stands above them")

    async def seen() -> tuple[list[Interaction], list[tuple[str, int]]]:
        async with connect_async(str(place.settings.redis_url)) as client:
            history = await HistoryStore(client, place.keys).recent("u0", 500)
        return history, await PopularityStore(place.client, place.keys).first_seen(20)

    history, first_seen = asyncio.run(seen())
    assert len(history) == 200
    assert history[1:] == recent
    assert history[0].time_ms == rows[-1]["timestamp"] * 1_000
    # an item's first event is the earliest, also when it came later
    assert dict(first_seen)["i0"] == rows[0]["timestamp"] * 1_000


def test_users_are_refused_with_a_reason(place: Place) -> None:
    said = place.freshet("import", "users", "users.csv")
    assert isinstance(said.exception, BadRequest)
    assert "nothing is kept of a user but events" in str(said.exception)


def test_imports_of_two_services_know_nothing_of_each_other(
    open_place: Callable[[str], Place], tmp_path: Path
) -> None:
    file = write(tmp_path / "e.csv", clicks(3))
    for name in ("one", "two"):
        place = open_place(name)
        assert place.freshet("import", "events", file).exit_code == 0
        assert place.log.total() == 3
