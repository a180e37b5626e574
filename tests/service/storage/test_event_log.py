"""The event log as its reader sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest
import redis

from service.domain.interactions import START, Interaction, Position
from service.errors import Unavailable
from service.storage import entries
from service.storage.connections import connect
from service.storage.event_log import EventLog
from service.storage.keys import Keys
from tests.conftest import free_port
from tests.service.storage.events import click

Letters = list[tuple[bytes, dict[bytes, bytes]]]


@pytest.fixture
def log(redis_client: redis.Redis, keys: Keys) -> EventLog:
    return EventLog(redis_client, keys)


def add(client: redis.Redis, keys: Keys, *events: Interaction) -> Position:
    """An entry as the ingest script writes it."""
    total = client.incrby(keys.log_total, len(events))
    fields = {"v": 1, "p": entries.pack(events), "n": len(events), "t": total}
    return append(client, keys, fields)


def append(client: redis.Redis, keys: Keys, fields: Mapping[Any, Any]) -> Position:
    """An entry by hand."""
    return Position.parse(cast(bytes, client.xadd(keys.log, dict(fields))).decode())


def test_an_empty_log(log: EventLog) -> None:
    assert log.read(START, 10) == []
    assert log.last() == START
    assert log.oldest() is None
    assert (log.length(), log.total(), log.events_after(START)) == (0, 0, 0)
    assert log.trim(Position(5, 0)) == 0


def test_reading_goes_on_from_a_position_in_whole_entries(
    log: EventLog, redis_client: redis.Redis, keys: Keys
) -> None:
    sizes = [3, 1, 4, 1, 5, 9]
    at = [add(redis_client, keys, *[click()] * size) for size in sizes]
    assert [len(e.interactions) for e in log.read(START, 4)] == [3, 1]
    assert [len(e.interactions) for e in log.read(START, 7)] == [3, 1]
    assert [e.position for e in log.read(at[1], 5)] == at[2:4]
    assert [len(e.interactions) for e in log.read(at[4], 2)] == [9], "a large entry comes alone"
    assert log.read(at[-1], 5) == []


def test_reading_crosses_pages(log: EventLog, redis_client: redis.Redis, keys: Keys) -> None:
    at = [add(redis_client, keys, click(event_id=str(n))) for n in range(150)]
    assert [e.position for e in log.read(START, 1_000)] == at


def test_events_after_is_a_subtraction(
    log: EventLog, redis_client: redis.Redis, keys: Keys
) -> None:
    at = [add(redis_client, keys, *[click()] * size) for size in (3, 1, 4)]
    assert [log.events_after(p) for p in (START, *at)] == [8, 5, 4, 0]
    redis_client.xadd(keys.log, {"garbage": "1"})
    add(redis_client, keys, click())
    assert log.events_after(at[2]) == 1
    log.trim(at[2])
    assert log.events_after(at[2]) == 1
    assert log.events_after(at[1]) == 5


def test_trimming_keeps_the_position_and_what_follows(
    log: EventLog, redis_client: redis.Redis, keys: Keys
) -> None:
    at = [add(redis_client, keys, click()) for _ in range(5)]
    assert log.trim(at[3]) == 3
    assert log.oldest() == at[3]
    assert [e.position for e in log.read(START, 10)] == at[3:]
    assert log.trim(Position(at[4].ms + 1, 0)) == 2
    assert log.oldest() is None
    assert log.last() == at[4], "the end is known even when nothing is left"


def raw(event: Interaction) -> bytes:
    """The payload that another release might write; `pack` would not."""
    fields = (event.user_id, event.item_id, event.type, event.time_ms, event.event_id, event.value)
    return msgspec.msgpack.encode([(*fields, event.recommendation_id)])


GARBAGE: list[dict[str, str | bytes | int]] = [
    {"hello": "world"},
    {"v": 1},
    {"v": 9, "p": entries.pack([click()]), "n": 1, "t": 1},
    {"v": 1, "p": b"\xc1\xff", "n": 1, "t": 1},
    {"v": 1, "p": entries.pack([click()]), "n": 2, "t": 1},
    {"v": 1, "p": entries.pack([click()]), "n": "many", "t": 1},
    {"v": 1, "p": raw(click(value=float("nan"))), "n": 1, "t": 1},
    {"v": 1, "p": raw(click(time_ms=-1)), "n": 1, "t": 1},
    {"v": 1, "p": msgspec.msgpack.encode([[1, 2, 3]]), "n": 1, "t": 1},
    {"v": 1, "p": msgspec.msgpack.encode({"a": 1}), "n": 1, "t": 1},
]


@pytest.mark.parametrize("fields", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_goes_to_the_dead_letters_once_and_is_passed(
    log: EventLog,
    redis_client: redis.Redis,
    keys: Keys,
    fields: dict[str, str | bytes | int],
) -> None:
    good = add(redis_client, keys, click(event_id="before"))
    bad = append(redis_client, keys, fields)
    after = add(redis_client, keys, click(event_id="after"))
    for _ in range(2):
        found = log.read(START, 10)
        assert [e.position for e in found] == [good, bad, after]
        assert [len(e.interactions) for e in found] == [1, 0, 1]
    assert log.dead_letters() == 1
    ((letter_id, letter),) = cast(Letters, redis_client.xrange(keys.dead_letters))
    assert letter_id.decode() == str(bad)
    assert letter[b"reason"]


def test_garbage_alone_does_not_hold_the_reader_up(
    log: EventLog, redis_client: redis.Redis, keys: Keys
) -> None:
    for _ in range(5):
        redis_client.xadd(keys.log, {"garbage": "1"})
    position, rounds = START, 0
    while page := log.read(position, 2):
        position, rounds = page[-1].position, rounds + 1
    assert (position, rounds) == (log.last(), 3)
    assert log.dead_letters() == 5


def test_the_incarnation_is_made_once_and_dies_with_the_log(
    log: EventLog, redis_client: redis.Redis, keys: Keys
) -> None:
    first = log.incarnation()
    assert log.incarnation() == EventLog(redis_client, keys).incarnation() == first
    redis_client.delete(keys.incarnation)
    assert log.incarnation() != first


def test_the_first_registry_owns_the_log_until_another_takes_it(log: EventLog) -> None:
    assert log.owner() is None
    assert [log.claim("one"), log.claim("two"), log.owner()] == ["one", "one", "one"]
    log.take("two")
    assert log.claim("one") == log.owner() == "two"


def test_a_server_that_is_gone_is_unavailable(keys: Keys) -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.3) as client:
        log = EventLog(client, keys)
        for ask in (log.last, log.oldest, log.length, log.incarnation, log.owner, log.total):
            with pytest.raises(Unavailable):
                ask()
        with pytest.raises(Unavailable):
            log.read(START, 1)


def test_events_up_to_a_position_are_counted_without_reading_them(
    log: EventLog, redis_client: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [add(redis_client, keys, *[click()] * size) for size in (3, 1, 4, 2)]
    garbage = append(redis_client, keys, {"garbage": "1"})
    last = add(redis_client, keys, click())
    pages: list[int] = []
    page = EventLog._page

    def spied(self: EventLog, after: Position, count: int) -> Any:
        pages.append(count)
        return page(self, after, count)

    monkeypatch.setattr(EventLog, "_page", spied)
    assert [log.events_after(START, p) for p in (*at, garbage, last)] == [3, 4, 8, 10, 10, 11]
    assert [log.events_after(p, at[2]) for p in (START, *at)] == [8, 5, 4, 0, 0]
    assert log.events_after(START) == 11
    assert set(pages) == {1}
