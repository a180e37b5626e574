"""The catalogue over HTTP."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import httpx
import pytest
from anyio import to_thread

from service.storage.popularity import PopularityStore

ITEM: dict[str, Any] = {
    "title": "A thing",
    "description": "Two\nlines",
    "categories": ["a", "b"],
    "tags": ["t"],
    "available": False,
    "published_at": "2026-01-31T13:00:00+01:00",
    "attributes": {"price": 9.5, "sizes": [1, 2], "none": None, "nested": {"deep": True}},
}


def test_an_item_is_made_then_replaced(api: httpx.Client) -> None:
    made = api.put("/v1/items/i", json=ITEM)
    assert made.status_code == 201
    found = api.get("/v1/items/i").json()
    assert found == made.json()
    assert found.pop("updated_at")
    assert found == {**ITEM, "item_id": "i", "published_at": "2026-01-31T12:00:00Z"}
    replaced = api.put("/v1/items/i", json={})
    assert replaced.status_code == 200
    assert replaced.json()["available"] is True
    assert replaced.json()["categories"] == []


def test_a_patch_changes_what_it_names(api: httpx.Client) -> None:
    api.put("/v1/items/i", json=ITEM)
    found = api.patch("/v1/items/i", json={"available": True, "published_at": None}).json()
    assert found["available"] is True
    assert found["published_at"] is None
    assert found["title"] == ITEM["title"]
    assert api.patch("/v1/items/none", json={}).status_code == 404


def test_an_update_does_not_make_an_item_the_latest(api: httpx.Client) -> None:
    for name, item in [("dated", {"published_at": "2020-01-01T00:00:00Z"}), ("old", {})]:
        api.put(f"/v1/items/{name}", json=item)
    time.sleep(0.002)
    api.put("/v1/items/new", json={})

    def latest() -> list[tuple[str, float]]:
        items = api.get("/v1/items/latest").json()["items"]
        return [(item["item_id"], item["score"]) for item in items]

    before = latest()
    assert [name for name, _ in before] == ["new", "old", "dated"]
    for name in ("old", "dated"):
        for change in ({"attributes": {"price": 2}}, {"available": False}, {"available": True}):
            assert api.patch(f"/v1/items/{name}", json=change).status_code == 200
    api.put("/v1/items/old", json={"title": "replaced"})
    assert latest() == before


def test_a_deleted_item_is_gone_until_the_next_put(api: httpx.Client) -> None:
    api.put("/v1/items/i", json={})
    assert api.delete("/v1/items/i").status_code == 204
    assert api.get("/v1/items/i").status_code == 404
    assert api.delete("/v1/items/i").status_code == 404
    assert api.patch("/v1/items/i", json={}).status_code == 404
    assert api.get("/v1/items/i/similar").status_code == 404
    api.post("/v1/events", json={"events": [{"user_id": "u", "item_id": "i"}]})
    assert api.get("/v1/users/v/recommendations").json()["items"] == []
    assert api.put("/v1/items/i", json={}).status_code == 201
    assert len(api.get("/v1/users/v/recommendations").json()["items"]) == 1


def test_an_item_that_only_events_name_can_be_deleted(api: httpx.Client) -> None:
    api.post("/v1/events", json={"events": [{"user_id": "u", "item_id": "i"}]})
    assert api.delete("/v1/items/i").status_code == 204
    assert api.get("/v1/users/v/recommendations").json()["items"] == []
    assert api.delete("/v1/items/never").status_code == 404


def test_the_list_is_paged_and_complete(api: httpx.Client) -> None:
    names = [f"i{number:02}" for number in range(25)] + ["ü/é"]
    batch = {"items": [{"item_id": name} for name in names]}
    assert api.post("/v1/items", json=batch).json() == {"written": 26, "created": 26}
    assert api.post("/v1/items", json=batch).json() == {"written": 26, "created": 0}
    api.delete("/v1/items/i03")
    found, cursor = [], None
    while True:
        params = {"limit": 10, **({"cursor": cursor} if cursor else {})}
        page = api.get("/v1/items", params=params).json()
        found += [item["item_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == sorted(set(names) - {"i03"})


def test_a_batch_is_atomic(api: httpx.Client) -> None:
    batch = {"items": [{"item_id": "good"}, {"item_id": "popular"}, {"item_id": "x", "title": 1}]}
    answer = api.post("/v1/items", json=batch)
    assert answer.status_code == 422
    places = [error["loc"] for error in answer.json()["errors"]]
    assert places == [["body", "items", 1, "item_id"], ["body", "items", 2, "title"]]
    assert api.get("/v1/items/good").status_code == 404
    twice = api.post("/v1/items", json={"items": [{"item_id": "a"}, {"item_id": "a"}]})
    assert twice.json()["errors"][0]["loc"] == ["body", "items", 1, "item_id"]


@pytest.mark.parametrize("item_id", ["popular", "trending", "latest", "%2E", "%2E%2E"])
def test_some_ids_cannot_be_written(api: httpx.Client, item_id: str) -> None:
    answer = api.put(f"/v1/items/{item_id}", json={})
    assert answer.status_code in (404, 405, 422)
    assert api.get("/v1/items").json()["items"] == []


BAD = [
    {"title": "x" * 1_001},
    {"title": "\u0000"},
    {"description": "\u0000"},
    {"categories": [""]},
    {"categories": "a"},
    {"available": "yes"},
    {"published_at": "2026-01-31"},
    {"published_at": "0001-01-01T00:00:00Z"},
    {"attributes": []},
    {"attributes": {"a": 2**63}},
    {"attributes": {"a\u0000": 1}},
    {"attributes": {"a": ["\u0000"]}},
    {"item_id": "other"},
    {"color": "red"},
]


@pytest.mark.parametrize("bad", BAD, ids=[str(bad)[:40] for bad in BAD])
def test_a_bad_item_is_refused(shared_api: httpx.Client, bad: dict[str, Any]) -> None:
    answer = shared_api.put("/v1/items/i", json=bad)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["loc"][0] == "body"


@pytest.mark.parametrize("value", ["1e999", "NaN", "9" * 400, "[" * 30 + "]" * 30])
def test_attributes_are_plain(shared_api: httpx.Client, value: str) -> None:
    body = b'{"attributes": {"a": ' + value.encode() + b"}}"
    headers = {"content-type": "application/json"}
    answer = shared_api.put("/v1/items/i", content=body, headers=headers)
    assert answer.status_code == 422


def test_a_put_beside_the_deletion_of_a_named_item_stays(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion found no entry in the catalogue; before it writes its tombstone, one is put."""
    api.post("/v1/events", json={"events": [{"user_id": "u", "item_id": "named"}]})
    known = PopularityStore.known

    async def put_meanwhile(self: PopularityStore, item_id: str) -> bool:
        put = partial(api.put, "/v1/items/named", json={"title": "mine"})
        assert (await to_thread.run_sync(put)).status_code == 201
        return await known(self, item_id)

    monkeypatch.setattr(PopularityStore, "known", put_meanwhile)
    assert api.delete("/v1/items/named").status_code == 204
    assert api.get("/v1/items/named").json()["title"] == "mine"
