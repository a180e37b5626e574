"""POST /v1/events: what is taken, what is refused, and that a batch is atomic."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.api.routes.events import event_rules
from service.domain.interactions import MAX_TIME_MS
from service.sections import LimitSettings, LogSettings
from service.settings import Settings
from service.storage import entries
from service.storage.clock import now_ms
from tests.conftest import ValkeyServer
from tests.service.api.replicas import replica
from tests.service.storage.events import click

GOOD = {"user_id": "u", "item_id": "i"}


@pytest.fixture
def api(shared_api: httpx.Client) -> httpx.Client:
    return shared_api


@pytest.fixture(autouse=True)
def _own_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a user of its own in the shared replica."""
    monkeypatch.setitem(GOOD, "user_id", f"u-{uuid.uuid4().hex}")


def post(api: httpx.Client, *events: Any) -> Any:
    return api.post("/v1/events", json={"events": list(events)})


def exported(api: httpx.Client, user_id: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = api.get(f"/v1/users/{user_id}/events").json()["events"]
    return events


def at(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def test_an_accepted_event_is_answered_with_its_position_and_durability(api: httpx.Client) -> None:
    answer = post(api, GOOD, {**GOOD, "item_id": "j"})
    assert answer.status_code == 202
    body = answer.json()
    assert body["accepted"] == 2
    assert body["durability"] == "memory"
    assert body["position"].count("-") == 1


def test_every_field_of_an_event_is_kept(api: httpx.Client) -> None:
    event = {
        "user_id": "ü/1",
        "item_id": "i\u200b9",
        "type": "rating",
        "value": 4.5,
        "timestamp": at(hours=1),
        "event_id": "e1",
        "recommendation_id": "r-1",
    }
    assert post(api, event).status_code == 202
    found = exported(api, "%C3%BC%2F1")
    sent = datetime.fromisoformat(str(event.pop("timestamp")))
    got = datetime.fromisoformat(found[0].pop("timestamp"))
    assert found == [event]
    assert got.utcoffset() == timedelta(0)
    assert abs(got - sent) < timedelta(milliseconds=1)


def test_defaults_are_a_click_now_with_an_id_of_its_own(api: httpx.Client) -> None:
    before = time.time()
    assert post(api, GOOD, GOOD).status_code == 202
    first, second = exported(api, GOOD["user_id"])
    assert first["type"] == "click"
    assert first["value"] is None
    assert first["event_id"] != second["event_id"]
    stamp = datetime.fromisoformat(first["timestamp"]).timestamp()
    assert before - 1 <= stamp <= time.time() + 1


def test_the_same_event_id_is_one_event(api: httpx.Client) -> None:
    for _ in range(3):
        assert post(api, {**GOOD, "event_id": "once"}).status_code == 202
    assert len(exported(api, GOOD["user_id"])) == 1


BAD: list[tuple[Any, str | None]] = [
    ({}, "user_id"),
    ({"user_id": "u"}, "item_id"),
    ({**GOOD, "user_id": ""}, "user_id"),
    ({**GOOD, "item_id": "x" * 257}, "item_id"),
    ({**GOOD, "user_id": "u\u0000"}, "user_id"),
    ({**GOOD, "user_id": "u\u0085"}, "user_id"),
    ({**GOOD, "user_id": 7}, "user_id"),
    ({**GOOD, "user_id": None}, "user_id"),
    ({**GOOD, "user_id": "."}, "user_id"),
    ({**GOOD, "item_id": ".."}, "item_id"),
    ({**GOOD, "item_id": "popular"}, "item_id"),
    ({**GOOD, "item_id": "trending"}, "item_id"),
    ({**GOOD, "item_id": "latest"}, "item_id"),
    ({**GOOD, "type": "no-such"}, "type"),
    ({**GOOD, "type": ""}, "type"),
    ({**GOOD, "value": "many"}, "value"),
    ({**GOOD, "value": "1.0"}, "value"),
    ({**GOOD, "value": True}, "value"),
    ({**GOOD, "timestamp": "yesterday"}, "timestamp"),
    ({**GOOD, "timestamp": "2999-01-01T00:00:00Z"}, "timestamp"),
    ({**GOOD, "timestamp": "2026-01-01T00:00:00"}, "timestamp"),
    ({**GOOD, "timestamp": "2026-02-30T00:00:00Z"}, "timestamp"),
    ({**GOOD, "timestamp": "0001-01-01T00:00:00+23:59"}, "timestamp"),
    ({**GOOD, "timestamp": 1_767_225_600}, "timestamp"),
    ({**GOOD, "event_id": ""}, "event_id"),
    ({**GOOD, "recommendation_id": "r\n"}, "recommendation_id"),
    ({**GOOD, "unknown_field": 1}, "unknown_field"),
    ("text", None),
    ([], None),
    (None, None),
]


@pytest.mark.parametrize(("bad", "field"), BAD, ids=[str(bad)[:50] for bad, _ in BAD])
def test_one_bad_event_refuses_the_batch_and_is_named(
    api: httpx.Client, bad: Any, field: str | None
) -> None:
    answer = post(api, GOOD, bad)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    places = [error["loc"] for error in answer.json()["errors"]]
    assert ["body", "events", 1, *([field] if field else [])] in places
    assert exported(api, GOOD["user_id"]) == []


def test_every_bad_event_of_a_batch_is_named(api: httpx.Client) -> None:
    answer = post(api, {**GOOD, "type": "x"}, GOOD, {**GOOD, "timestamp": "x"}, {"user_id": 1})
    places = {tuple(error["loc"][1:]) for error in answer.json()["errors"]}
    assert places == {
        ("events", 0, "type"),
        ("events", 2, "timestamp"),
        ("events", 3, "user_id"),
        ("events", 3, "item_id"),
    }


@pytest.mark.parametrize(
    ("ago", "status"),
    [
        ({"minutes": -4}, 202),
        ({"minutes": -6}, 422),
        ({"days": 6.9}, 202),
        ({"days": 7.1}, 422),
    ],
)
def test_a_timestamp_lies_near_enough(
    api: httpx.Client, ago: dict[str, float], status: int
) -> None:
    assert post(api, {**GOOD, "timestamp": at(**ago)}).status_code == status


@pytest.mark.parametrize("offset", ["Z", "+00:00", "z"])
def test_an_offset_may_be_written_in_every_way(api: httpx.Client, offset: str) -> None:
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + offset
    assert post(api, {**GOOD, "timestamp": stamp}).status_code == 202


def test_a_batch_holds_one_to_a_thousand(api: httpx.Client) -> None:
    assert post(api).status_code == 422
    assert post(api, *[GOOD] * 1_000).status_code == 202
    answer = post(api, *[GOOD] * 1_001)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "events"]


def test_the_first_answer_says_already_how_durable_it_is(
    make_settings: Callable[..., Settings], own_valkey: ValkeyServer
) -> None:
    with replica(make_settings(redis_url=own_valkey.url)) as api, ThreadPoolExecutor(4) as pool:
        bodies = [{"events": [{"user_id": "u", "item_id": f"i{n}"}]} for n in range(4)]
        answers = list(pool.map(lambda body: api.post("/v1/events", json=body).json(), bodies))
    assert [answer["durability"] for answer in answers] == ["always"] * 4


def test_no_setting_lets_in_what_the_log_cannot_hold() -> None:
    widest = Settings(
        _env_file=None,
        log=LogSettings(retention_days=3_650),
        limits=LimitSettings(future_s=86_400),
    )
    for now in (0, now_ms(), MAX_TIME_MS - 1):
        rules = event_rules(widest, now)
        events = [click(time_ms=rules.earliest_ms), click(time_ms=rules.latest_ms)]
        fields = {b"v": str(entries.FORMAT).encode(), b"p": entries.pack(events), b"n": b"2"}
        assert list(entries.unpack(fields)) == events
