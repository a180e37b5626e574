"""Keys, scopes and rates; and that no route forgot to ask."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import Engine

from service.api.app import create_app
from service.api.keyring import SCOPES, KeyRing, check_access, is_public
from service.api.openapi import scope_of
from service.api.rates import Rates
from service.errors import Forbidden, RateLimited, SettingsError, Unauthenticated, Unavailable
from service.settings import Settings
from service.storage.api_keys import ApiKeys, KnownKeys, digest
from tests.service.api.replicas import FailedStart, replica

OPEN_ROUTES = {"/healthz", "/readyz", "/metrics", "/"}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_every_route_asks_for_a_scope_or_is_known_to_be_open(settings: Settings) -> None:
    routes = [route for route in create_app(settings).routes if isinstance(route, APIRoute)]
    assert len(routes) > 20
    for route in routes:
        scope = scope_of(route)
        if route.path in OPEN_ROUTES:
            assert scope is None
        elif route.path.startswith("/v1/admin/"):
            assert scope == "admin", route.path
        else:
            assert scope in SCOPES, route.path


def test_scopes_are_those_of_the_contract(settings: Settings) -> None:
    asked = {
        (method, route.path): scope_of(route)
        for route in create_app(settings).routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert asked["POST", "/v1/events"] == "recommend"
    assert asked["GET", "/v1/items/{item_id}"] == "recommend"
    assert asked["PUT", "/v1/items/{item_id}"] == "catalog"
    assert asked["GET", "/v1/users/{user_id}/events"] == "catalog"
    assert asked["DELETE", "/v1/users/{user_id}"] == "catalog"


def test_keys_open_what_their_scopes_name(settings: Settings, stores: Engine) -> None:
    keys = ApiKeys(stores)
    narrow, wide = keys.create("narrow", ["recommend"]), keys.create("wide", list(SCOPES))
    with replica(settings) as api:
        for headers in ({}, bearer("nonsense"), {"authorization": f"Basic {wide}"}, bearer("é")):
            encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
            refused = api.get("/v1/users/u/recommendations", headers=encoded)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.headers["content-type"] == "application/problem+json"
        assert api.post("/v1/admin/retrain", content=b"{", headers={}).status_code == 401
        ok = api.get("/v1/users/u/recommendations", headers=bearer(narrow))
        assert ok.status_code == 200
        assert api.put("/v1/items/x", json={}, headers=bearer(narrow)).status_code == 403
        assert api.get("/v1/admin/status", headers=bearer(narrow)).status_code == 403
        assert api.delete("/v1/users/u", headers=bearer(narrow)).status_code == 403
        assert api.put("/v1/items/x", json={}, headers=bearer(wide)).status_code == 201
        assert api.get("/v1/admin/status", headers=bearer(wide)).status_code == 200
        for path in OPEN_ROUTES:
            assert api.get(path).status_code == 200


def test_a_replica_holds_the_keys_when_the_database_goes() -> None:
    answers = iter([KnownKeys({digest("token"): ("name", ("recommend",))}, made=True)])

    def read() -> KnownKeys:
        try:
            return next(answers)
        except StopIteration:
            raise Unavailable("gone") from None

    ring = KeyRing(read, public=True)
    with pytest.raises(Unavailable):
        ring.allow("Bearer token", "recommend")
    ring.refresh()
    with pytest.raises(Unavailable):
        ring.refresh()
    assert ring.allow("bearer token", "recommend").name == "name"
    with pytest.raises(Forbidden):
        ring.allow("Bearer token", "admin")
    with pytest.raises(Unauthenticated):
        ring.allow("Bearer tokem", "recommend")


def test_a_loopback_replica_is_closed_until_the_database_has_been_heard(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    missing = tmp_path / "not-there-yet" / "freshet.sqlite"
    with replica(make_settings(database_url=f"sqlite:///{missing}")) as api:
        refused = api.get("/v1/users/u/recommendations")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert api.post("/v1/admin/retrain").status_code == 503
        assert api.get("/healthz").status_code == 200


def test_revoking_the_last_key_opens_nothing(settings: Settings, stores: Engine) -> None:
    keys = ApiKeys(stores)
    token = keys.create("only", ["recommend"])
    keys.revoke("only")
    with replica(settings) as api:
        assert api.get("/v1/users/u/recommendations").status_code == 401
        refused = api.get("/v1/users/u/recommendations", headers=bearer(token))
        assert refused.status_code == 401
        assert api.get("/v1/admin/status").status_code == 401


def test_without_a_key_only_loopback_is_open(make_settings: Callable[..., Settings]) -> None:
    with replica(make_settings()) as api:
        assert api.get("/v1/users/u/recommendations").status_code == 200
    public = make_settings(host="0.0.0.0")
    with pytest.raises(SettingsError, match="freshet keys create"):
        check_access(public)
    with pytest.raises(FailedStart), replica(public):
        pass


def test_with_a_key_a_public_address_may_be_served(
    make_settings: Callable[..., Settings], stores: Engine
) -> None:
    ApiKeys(stores).create("any", ["recommend"])
    public = make_settings(host="0.0.0.0")
    check_access(public)
    with replica(public) as api:
        assert api.get("/v1/users/u/recommendations").status_code == 401


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("10.0.0.1", True),
        ("example.org", True),
        ("", True),
    ],
)
def test_what_counts_as_public(host: str, public: bool) -> None:
    assert is_public(host) is public


def test_a_key_that_asks_too_often_is_told_when_to_come_back(
    make_settings: Callable[..., Settings], stores: Engine
) -> None:
    keys = ApiKeys(stores)
    eager, calm = keys.create("eager", ["recommend"]), keys.create("calm", ["recommend"])
    with replica(make_settings(limits={"requests_per_s": 2.0})) as api:
        path = "/v1/users/u/recommendations"
        found = [api.get(path, headers=bearer(eager)) for _ in range(8)]
        assert [answer.status_code for answer in found[:4]] == [200] * 4
        assert found[-1].status_code == 429
        assert int(found[-1].headers["retry-after"]) >= 1
        assert api.get(path, headers=bearer(calm)).status_code == 200


def test_a_bucket_fills_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("service.api.rates.time.monotonic", lambda: now)
    rates = Rates(10.0)
    for _ in range(20):
        rates.take("k")
    with pytest.raises(RateLimited) as refused:
        rates.take("k")
    assert refused.value.retry_after_s == pytest.approx(0.1)
    now = 0.1
    rates.take("k")
    with pytest.raises(RateLimited):
        rates.take("k")


def test_log_lines_hold_no_user_no_key_and_no_body(
    settings: Settings, stores: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    from service import logs

    token = ApiKeys(stores).create("any", list(SCOPES))
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    logs.configure(settings.model_copy(update={"log_format": "json"}))
    try:
        with replica(settings) as api:
            event = {"user_id": "a-secret-user", "item_id": "a-secret-item"}
            api.post("/v1/events", json={"events": [event]}, headers=bearer(token))
            path = "/v1/users/a-secret-user/recommendations"
            api.get(path, headers={**bearer(token), "x-request-id": "mine-1"})
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        import structlog

        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert token not in written
    assert "a-secret" not in written
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    line = next(line for line in lines if line.get("request_id") == "mine-1")
    assert line["route"] == "/v1/users/{user_id}/recommendations"
    assert line["status"] == 200
    assert len(line["user"]) == 12


def test_request_ids_are_echoed_or_made_on_every_answer(shared_api: httpx.Client) -> None:
    for path in ("/healthz", "/nowhere", "/v1/users/%ff/recommendations"):
        assert shared_api.get(path, headers={"x-request-id": "abc-1"}).headers["x-request-id"] == (
            "abc-1"
        )
        made = {shared_api.get(path).headers["x-request-id"] for _ in range(3)}
        assert len(made) == 3
    for bad in ("x" * 200, "a b", "é"):
        answer = shared_api.get("/healthz", headers=[(b"x-request-id", bad.encode())])
        assert answer.headers["x-request-id"] != bad
