"""Without keys a replica serves its own machine, and no web page but its own."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import Engine
from starlette.datastructures import Headers

from service.api.origin import check_origin
from service.errors import ForeignHost, ForeignSite
from service.settings import Settings
from service.storage.api_keys import ApiKeys
from tests.service.api.replicas import replica

ACTIVATE = "/v1/admin/models/1/activate"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.1", "", "[", "a b"])
def test_a_host_that_is_not_this_machine_is_refused(shared_api: httpx.Client, host: str) -> None:
    for method, path in (("POST", ACTIVATE), ("GET", "/v1/users/u/recommendations")):
        answer = shared_api.request(method, path, headers={"host": host})
        assert answer.status_code == 421, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].endswith("foreign-host")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_another_site_is_refused(shared_api: httpx.Client, headers: dict[str, str]) -> None:
    for content in (b"", b"{}"):
        answer = shared_api.post(ACTIVATE, content=content, headers=headers)
        assert answer.status_code == 403, answer.text
        assert answer.json()["type"].endswith("foreign-site")


def test_own_pages_and_programs_of_this_machine_are_served(shared_api: httpx.Client) -> None:
    port = shared_api.base_url.port
    path = "/v1/users/u/recommendations"
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LocalHost:{port}", "[::1]:80"):
        own = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
        assert shared_api.get(path, headers=own).status_code == 200
        assert shared_api.get(path, headers={"host": host}).status_code == 200


def test_where_a_key_is_asked_for_any_host_and_site_may_send_it(
    settings: Settings, stores: Engine
) -> None:
    token = ApiKeys(stores).create("any", ["recommend"])
    headers = {"host": "shop.example", "origin": "https://shop.example"}
    with replica(settings) as api:
        path = "/v1/users/u/recommendations"
        assert api.get(path, headers=headers).status_code == 401
        headers["authorization"] = f"Bearer {token}"
        assert api.get(path, headers=headers).status_code == 200


def test_routes_without_a_scope_answer_whoever_asks(shared_api: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert shared_api.get(path, headers={"host": "balancer"}).status_code == 200


def test_a_host_must_be_named() -> None:
    check_origin(Headers({"host": "127.0.0.1"}))
    with pytest.raises(ForeignHost):
        check_origin(Headers({}))
    with pytest.raises(ForeignSite):
        check_origin(Headers({"host": "127.0.0.1", "origin": ""}))
