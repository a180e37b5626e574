"""Whatever is sent, the answer is a problem document, never a 5xx, and repeats nothing of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest


@pytest.fixture
def api(shared_api: httpx.Client) -> httpx.Client:
    return shared_api


JSON = {"content-type": "application/json"}

MALFORMED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b'{"events": "x"}',
    b'{"events": {}}',
    b'{"events": [NaN]}',
    b'{"events":[{"user_id":"u","item_id":"i","value":1e999}]}',
    b'{"events":[{"user_id":"u","item_id":"i","value":-1e999}]}',
    b'{"events":[{"user_id":"u","item_id":"i","value":NaN}]}',
    b'{"events":[{"user_id":"u","item_id":"i","value":Infinity}]}',
    b'{"events":[{"user_id":"\\ud800","item_id":"i"}]}',
    b'{"events":[{"user_id":"\xed\xa0\x80","item_id":"i"}]}',
    b'{"events":[{"user_id":"u","item_id":"i","value":' + b"9" * 400 + b"}]}",
    b'{"events":[{"user_id":"u","item_id":"i","value":' + b"9" * 9_000 + b"}]}",
    b'{"events":[{"user_id":"u\\u0000","item_id":"i"}]}',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"a":' * 50_000,
]


def check_problem(answer: Any, status: int | None = None) -> dict[str, Any]:
    assert 400 <= answer.status_code < 500, answer.text
    assert status in (None, answer.status_code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= body.keys()
    assert body["status"] == answer.status_code
    return body


@pytest.mark.parametrize("body", MALFORMED, ids=[repr(body[:40]) for body in MALFORMED])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/events"),
        ("POST", "/v1/recommendations"),
        ("PUT", "/v1/items/x"),
        ("POST", "/v1/items"),
        ("POST", "/v1/admin/retrain"),
    ],
)
def test_a_malformed_body_is_refused(
    api: httpx.Client, method: str, path: str, body: bytes
) -> None:
    if not body and path.startswith("/v1/admin"):
        pytest.skip("an empty body there means the defaults")
    check_problem(api.request(method, path, content=body, headers=JSON), 422)


def test_a_large_body_is_refused_by_its_announced_size(api: httpx.Client) -> None:
    body = b'{"events": ["' + b"e" * 2_000_000 + b'"]}'
    check_problem(api.post("/v1/events", content=body, headers=JSON), 413)


def test_a_large_body_is_refused_while_it_arrives(api: httpx.Client) -> None:
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"x" * 100_000

    check_problem(api.post("/v1/events", content=parts(), headers=JSON), 413)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "x"],
)
def test_a_body_that_says_it_is_not_json_is_refused(api: httpx.Client, content_type: str) -> None:
    answer = api.post("/v1/events", content=b"{}", headers={"content-type": content_type})
    check_problem(answer, 415)


def test_a_body_that_does_not_say_what_it_is_is_refused(api: httpx.Client) -> None:
    for method, path in (
        ("POST", "/v1/events"),
        ("PUT", "/v1/items/x"),
        ("POST", "/v1/admin/retrain"),
        ("POST", "/v1/admin/models/1/activate"),
    ):
        check_problem(api.request(method, path, content=b"{}"), 415)
    check_problem(api.post("/v1/events"), 422)
    assert api.post("/v1/admin/models/1/activate").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/users/u/recommendations",
        "/v1/users/u/events",
        "/v1/items/x/similar",
        "/v1/items/popular",
        "/v1/items",
        "/v1/admin/models",
        "/v1/admin/status",
    ],
)
def test_a_parameter_that_the_route_does_not_have_is_named(api: httpx.Client, path: str) -> None:
    body = check_problem(api.get(f"{path}?limti=5&limit=5&%ff=&limti=6"), 422)
    named = [error["loc"] for error in body["errors"]]
    assert ["query", "limti"] in named
    assert (["query", "limit"] in named) == (path == "/v1/admin/status")
    check_problem(api.post("/v1/events?dry=1", json={"events": []}), 422)


@pytest.mark.parametrize("path", ["/v1/no-such-route", "/nowhere", "/v1/items/", "/v1//events"])
def test_an_unknown_path_is_a_problem(api: httpx.Client, path: str) -> None:
    check_problem(api.get(path), 404)


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(api: httpx.Client) -> None:
    answer = api.put("/v1/events")
    check_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


QUERIES = [
    ("limit=0", "limit"),
    ("limit=201", "limit"),
    ("limit=" + "9" * 400, "limit"),
    ("limit=x", "limit"),
    ("limit=1.5", "limit"),
    ("diversity=nan", "diversity"),
    ("diversity=2", "diversity"),
    ("exclude_seen=perhaps", "exclude_seen"),
    ("objective=no-such", "objective"),
    ("objective=purchase", "objective"),
    ("category=", "category"),
    ("exclude=a%00", "exclude"),
]


@pytest.mark.parametrize(("query", "field"), QUERIES)
def test_a_bad_parameter_is_named(api: httpx.Client, query: str, field: str) -> None:
    body = check_problem(api.get(f"/v1/users/u/recommendations?{query}"), 422)
    assert any(error["loc"][:2] == ["query", field] for error in body["errors"])


@pytest.mark.parametrize("cursor", ["x", "!!", "bnVsbA", "WzFd", "é", "W10"])
@pytest.mark.parametrize(
    "path", ["/v1/items", "/v1/users/u/events", "/v1/admin/jobs", "/v1/admin/models"]
)
def test_a_cursor_made_up_is_refused(api: httpx.Client, path: str, cursor: str) -> None:
    answer = api.get(path, params={"cursor": cursor})
    if cursor == "WzFd" and path == "/v1/admin/models":
        assert answer.status_code == 200  # [1] is a cursor of that list
    else:
        check_problem(answer, 422)


@pytest.mark.parametrize("segment", ["%ff", "%ed%a0%80", "a%00b", "a%0Ab", "x" * 257, "%7F"])
def test_a_path_segment_that_is_no_id_is_refused(api: httpx.Client, segment: str) -> None:
    check_problem(api.get(f"/v1/users/{segment}/recommendations"), 422)
    check_problem(api.put(f"/v1/items/{segment}", json={}), 422)


def test_nothing_that_was_sent_comes_back(api: httpx.Client) -> None:
    marker = "do-not-repeat-this"
    bad = {"user_id": "u", "item_id": "i", "type": marker, "timestamp": marker, "value": marker}
    answer = api.post("/v1/events", json={"events": [bad]})
    check_problem(answer, 422)
    assert marker not in answer.text
    assert marker not in api.get("/v1/users/u/recommendations", params={"limit": marker}).text


NOT_BUILT = [("DELETE", "/v1/users/u")]


@pytest.mark.parametrize(("method", "path"), NOT_BUILT)
def test_what_is_not_built_says_so(api: httpx.Client, method: str, path: str) -> None:
    answer = api.request(method, path)
    assert answer.status_code == 501
    assert answer.json()["type"].endswith("not-built")


def test_a_caller_that_goes_away_mid_body_breaks_nothing(shared_api: httpx.Client) -> None:
    address = (shared_api.base_url.host, shared_api.base_url.port)
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for part in (b"", b'{"events"'):
        with socket.create_connection(address) as caller:
            caller.sendall(head + b"Content-Length: 500\r\n\r\n" + part)
    until = time.monotonic() + 5
    while 'route="/v1/events",status="499"} 2.0' not in shared_api.get("/metrics").text:
        assert time.monotonic() < until
        time.sleep(0.02)
