"""Recommendations over HTTP: sources, filters, freshness, degradation; never needlessly empty."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.conftest import ValkeyServer
from tests.service.api.replicas import replica
from tests.service.publishing import Publisher, clicks


def click(api: httpx.Client, user_id: str, *item_ids: str, **fields: Any) -> None:
    events = [{"user_id": user_id, "item_id": item_id, **fields} for item_id in item_ids]
    assert api.post("/v1/events", json={"events": events}).status_code == 202


def recommended(api: httpx.Client, user_id: str = "nobody", **params: Any) -> dict[str, Any]:
    answer = api.get(f"/v1/users/{user_id}/recommendations", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids(body: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in body["items"]]


def await_version(api: httpx.Client, version: int, timeout_s: float = 10.0) -> None:
    until = time.monotonic() + timeout_s
    while recommended(api)["model_version"] != version:
        assert time.monotonic() < until, f"version {version} was not taken"
        time.sleep(0.02)


@pytest.fixture
def learned(api: httpx.Client, publisher: Publisher) -> int:
    """A published version that the replica serves: users u0… and items i0…i29, two tastes."""
    record = publisher.publish(clicks(40, 30))
    await_version(api, record.version)
    return record.version


def test_an_empty_service_answers_nothing_and_says_which_version(api: httpx.Client) -> None:
    body = recommended(api)
    assert body["items"] == []
    assert (body["source"], body["model_version"], body["learned_until"]) == ("fallback", 1, None)
    assert body["degraded"] == []


def test_an_item_just_named_is_recommended_at_once(api: httpx.Client) -> None:
    click(api, "somebody", "i1", "i2")
    body = recommended(api)
    assert set(ids(body)) == {"i1", "i2"}
    assert body["source"] == "fallback"
    assert {item["source"] for item in body["items"]} <= {"trending", "popular", "latest"}


def test_an_item_that_only_an_impression_named_is_recommended_too(api: httpx.Client) -> None:
    click(api, "somebody", "shown", type="impression")
    assert ids(recommended(api)) == ["shown"]


def test_an_item_put_without_any_event_is_recommended_at_once(api: httpx.Client) -> None:
    api.put("/v1/items/new", json={"title": "New"})
    body = recommended(api)
    assert [(i["item_id"], i["source"]) for i in body["items"]] == [("new", "latest")]


def test_the_next_request_sees_an_event(api: httpx.Client, learned: int) -> None:
    assert recommended(api, "fresh")["source"] == "fallback"
    click(api, "fresh", "i0")
    body = recommended(api, "fresh", limit=200)
    assert body["source"] == "personalized"
    assert "i0" not in ids(body)
    assert "i0" in ids(recommended(api, "fresh", limit=200, exclude_seen=False))


def test_what_was_skipped_is_left_out_as_what_was_seen(api: httpx.Client, learned: int) -> None:
    click(api, "fresh", "i0", type="skip")
    body = recommended(api, "fresh", limit=200)
    assert "i0" not in ids(body)
    assert body["source"] == "fallback", "it is no history to rank by"
    assert "i0" in ids(recommended(api, "fresh", limit=200, exclude_seen=False))
    assert "i0" in ids(recommended(api, "another", limit=200))
    asked = {"requests": [{"user_id": "fresh", "history": ["i1"]}], "limit": 200}
    (session,) = api.post("/v1/recommendations", json=asked).json()["results"]
    assert "i0" in ids(session), "the request's own history stands in for the stored one"


def test_what_was_taken_by_repeatable_types_alone_comes_again(
    make_settings: Callable[..., Settings],
) -> None:
    named = ["heard", "bought", "both", "passed"]
    with replica(make_settings(repeatable_types=["play"])) as api:
        click(api, "u", "heard", "both", "passed", type="play")
        click(api, "u", "bought", "both", type="purchase")
        click(api, "u", "passed", type="skip")
        click(api, "u", "shown", type="impression")
        assert set(ids(recommended(api, "u"))) == {"heard", "shown"}
        assert set(ids(recommended(api, "u", exclude_seen=False))) == {*named, "shown"}
        asked = {"requests": [{"user_id": "u"}, {"history": named}, {"user_id": "v"}]}
        many = api.post("/v1/recommendations", json=asked).json()["results"]
        found = [set(ids(one)) for one in many]
        assert found == [{"heard", "shown"}, {"shown"}, {*named, "shown"}]


def test_every_answer_says_what_it_rests_on(api: httpx.Client, learned: int) -> None:
    click(api, "u", "i0")
    body = recommended(api, "u", limit=10)
    assert body["user_id"] == "u"
    assert body["model_version"] == learned
    assert body["learned_until"].endswith("Z")
    assert [item["source"] for item in body["items"]] == ["model"] * 10
    again = recommended(api, "u", limit=10)
    assert again["items"] == body["items"]
    assert again["recommendation_id"] != body["recommendation_id"]
    assert body["recommendation_id"].startswith("r-")


def test_scores_fall_within_a_source_and_items_are_distinct(
    api: httpx.Client, learned: int
) -> None:
    click(api, "u", "i0", "other1", "other2")
    click(api, "v", "other2", "other3")
    body = recommended(api, "u", limit=200)
    assert len(set(ids(body))) == len(body["items"])
    sources = [item["source"] for item in body["items"]]
    assert sources == sorted(sources, key=["model", "trending", "popular", "latest"].index)
    for source in set(sources):
        scores = [item["score"] for item in body["items"] if item["source"] == source]
        assert scores == sorted(scores, reverse=True)
    assert "other3" in ids(body)


def test_filters_hold(api: httpx.Client, learned: int) -> None:
    for number in (2, 4, 6):
        api.put(f"/v1/items/i{number}", json={"categories": ["even", f"c{number}"]})
    click(api, "u", "i0")
    assert set(ids(recommended(api, "u", category="even"))) == {"i2", "i4", "i6"}
    assert set(ids(recommended(api, "u", category=["c2", "c6"]))) == {"i2", "i6"}
    assert set(ids(recommended(api, "u", category="even", exclude=["i2", "i4"]))) == {"i6"}
    assert ids(recommended(api, "u", category="nothing")) == []
    click(api, "u", "i6")
    assert set(ids(recommended(api, "u", category="even"))) == {"i2", "i4"}


def test_a_hidden_item_is_in_no_answer(api: httpx.Client, learned: int) -> None:
    click(api, "u", "i0")
    api.put("/v1/items/i2", json={"available": False})
    api.put("/v1/items/i4", json={})
    assert api.delete("/v1/items/i4").status_code == 204
    click(api, "v", "i2", "i4")
    bodies = [
        recommended(api, "u", limit=200),
        recommended(api, limit=200),
        api.get("/v1/items/i0/similar", params={"limit": 200}).json(),
        *(api.get(f"/v1/items/{name}").json() for name in ("popular", "trending", "latest")),
    ]
    for body in bodies:
        assert not {"i2", "i4"} & set(ids(body))
    assert len(bodies[0]["items"]) == 27


def test_many_are_answered_in_order_from_one_version(api: httpx.Client, learned: int) -> None:
    click(api, "u", "i0")
    requests = [
        {"user_id": "u"},
        {"history": ["i1", "i3"]},
        {"user_id": "new"},
        {"history": []},
        {},
        {"user_id": "u", "history": ["i1"]},
    ]
    answer = api.post("/v1/recommendations", json={"requests": requests, "limit": 5})
    results = answer.json()["results"]
    assert [one["source"] for one in results] == [
        "personalized", "session", "fallback", "fallback", "fallback", "session",
    ]  # fmt: skip
    assert [one["user_id"] for one in results] == ["u", None, "new", None, None, "u"]
    assert {one["model_version"] for one in results} == {learned}
    assert all(len(one["items"]) == 5 for one in results)
    assert not {"i1", "i3"} & set(ids(results[1]))
    assert len({one["recommendation_id"] for one in results}) == len(requests)


def test_a_session_is_answered_like_the_user_it_might_be(api: httpx.Client, learned: int) -> None:
    click(api, "u", "i0")
    click(api, "u", "i2")
    body = {"requests": [{"history": ["i0", "i2"]}], "limit": 5}
    session = api.post("/v1/recommendations", json=body).json()["results"][0]
    assert ids(session) == ids(recommended(api, "u", limit=5))


def test_an_explanation_names_history_items(api: httpx.Client, learned: int) -> None:
    click(api, "u", "i0", "i2", "never-learned")
    body = recommended(api, "u", limit=40, explain=True)
    named = {reason for item in body["items"] for reason in item["because"]}
    assert named
    assert named <= {"i0", "i2"}
    assert "because" not in recommended(api, "u", limit=1)["items"][0]


def test_only_so_many_answers_of_a_batch_are_explained(api: httpx.Client) -> None:
    for size, explain, status in ((50, True, 200), (51, True, 422), (51, False, 200)):
        body = {"requests": [{}] * size, "explain": explain}
        answer = api.post("/v1/recommendations", json=body)
        assert answer.status_code == status
    body["explain"] = True
    assert "50" in api.post("/v1/recommendations", json=body).json()["errors"][0]["msg"]


def test_similar_items_share_the_taste_and_are_filled(api: httpx.Client, learned: int) -> None:
    body = api.get("/v1/items/i0/similar", params={"limit": 29}).json()
    assert set(ids(body)) == {f"i{number}" for number in range(1, 30)}
    assert {item["source"] for item in body["items"]} == {"model"}
    click(api, "u", "named")
    body = api.get("/v1/items/named/similar", params={"limit": 5}).json()
    assert len(body["items"]) >= 1
    assert "named" not in ids(body)
    assert api.get("/v1/items/never/similar").status_code == 404


def test_lists_in_their_simple_form(api: httpx.Client) -> None:
    click(api, "a", "i1", "i2")
    click(api, "b", "i2")
    click(api, "b", "i3", type="impression")
    until = time.monotonic() + 10.0
    popular: list[tuple[str, float]] = []
    while popular != [("i2", 2.0), ("i1", 1.0)]:  # the lists may be read between two clicks
        assert time.monotonic() < until, popular
        time.sleep(0.02)
        found = api.get("/v1/items/popular").json()["items"]
        popular = [(item["item_id"], item["score"]) for item in found]
    assert ids(api.get("/v1/items/popular", params={"window": "1h", "limit": 1}).json()) == ["i2"]
    assert ids(api.get("/v1/items/trending").json()) == ["i2", "i1"]
    assert set(ids(api.get("/v1/items/latest").json())) == {"i1", "i2", "i3"}
    api.put("/v1/items/i1", json={"categories": ["a"]})
    assert ids(api.get("/v1/items/popular", params={"category": "a"}).json()) == ["i1"]
    for window in ("0h", "8d", "169h", "7", "x", "1m"):
        assert api.get("/v1/items/popular", params={"window": window}).status_code == 422


def test_ids_with_slashes_travel_encoded(api: httpx.Client) -> None:
    for item_id, path in (("a/b", "a%2Fb"), ("a%2Fb", "a%252Fb"), ("é ", "%C3%A9%20")):
        assert api.put(f"/v1/items/{path}", json={"title": item_id}).status_code == 201
        assert api.get(f"/v1/items/{path}").json()["item_id"] == item_id
    click(api, "u/v", "a/b")
    assert recommended(api, "u%2Fv")["user_id"] == "u/v"
    assert api.get("/v1/items/a%2Fb/similar").status_code == 200


def test_a_log_that_stands_still_degrades_and_fails_nothing(
    make_settings: Callable[..., Settings], publisher: Publisher, own_valkey: ValkeyServer
) -> None:
    import os
    import signal

    record = publisher.publish(clicks(40, 30))
    with replica(make_settings(redis_url=own_valkey.url)) as api:
        await_version(api, record.version)
        click(api, "u", "i0")
        assert recommended(api, "u")["degraded"] == []
        os.kill(own_valkey.process.pid, signal.SIGSTOP)
        started = time.monotonic()
        for _ in range(10):
            body = recommended(api, "u")
            assert "history" in body["degraded"]
            assert body["items"]
        waited_in_vain_s = 10 * make_settings().log.timeout_s
        assert time.monotonic() - started < waited_in_vain_s  # who waits in vain waits once
        refused = api.post("/v1/events", json={"events": [{"user_id": "u", "item_id": "i"}]})
        assert refused.status_code == 503
        assert refused.json()["type"].endswith("outcome-unknown")
        assert int(refused.headers["retry-after"]) >= 1
        session = api.post("/v1/recommendations", json={"requests": [{"history": ["i0"]}]})
        assert session.json()["results"][0]["items"][0]["source"] == "model"
        assert api.get("/readyz").status_code == 200
        os.kill(own_valkey.process.pid, signal.SIGCONT)
        until = time.monotonic() + 10
        while recommended(api, "u")["degraded"]:
            assert time.monotonic() < until
            time.sleep(0.1)
        own_valkey.stop()
        assert recommended(api, "u")["items"]
        refused = api.post("/v1/events", json={"events": [{"user_id": "u", "item_id": "i"}]})
        assert refused.status_code == 503
        assert refused.json()["type"].endswith(("backpressure", "outcome-unknown"))
        assert api.get("/v1/admin/status").json()["event_log"]["up"] is False


def test_a_catalogue_write_shows_in_other_replicas(settings: Settings, api: httpx.Client) -> None:
    with replica(settings) as other:
        api.put("/v1/items/i", json={})
        until = time.monotonic() + 10.0
        while ids(recommended(other)) != ["i"]:
            assert time.monotonic() < until
            time.sleep(0.01)
        other.delete("/v1/items/i")
        assert ids(recommended(other)) == []
        while ids(recommended(api)):
            assert time.monotonic() < until
            time.sleep(0.01)
