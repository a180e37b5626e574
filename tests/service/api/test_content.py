"""New items by their text over HTTP, on two replicas."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.service.api.replicas import replica
from tests.service.api.test_recommendations import await_version
from tests.service.publishing import Publisher, clicks

SIDES = ("red running shoe", "blue garden hose")
ASKED = {"requests": [{"history": ["i0", "i2", "i4"]}], "limit": 30}


def body(side: int) -> dict[str, Any]:
    return {"title": SIDES[side], "categories": [SIDES[side]], "attributes": {"kind": SIDES[side]}}


def items(api: httpx.Client, **asked: Any) -> list[dict[str, Any]]:
    answer = api.post("/v1/recommendations", json={**ASKED, **asked})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"][0]["items"]
    return found


def ranked(api: httpx.Client, **asked: Any) -> list[str]:
    return [item["item_id"] for item in items(api, **asked) if item["source"] == "model"]


def within(seconds: float, test: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not (done := test()) and time.monotonic() < until:
        time.sleep(0.02)
    return done


@pytest.fixture
def learned(api: httpx.Client, publisher: Publisher) -> httpx.Client:
    """A replica that knows the texts of all items of a version it has taken."""
    for _ in range(4):
        record = publisher.publish(clicks(40, 20, per_user=12))
    await_version(api, record.version)
    batch = [{"item_id": f"i{n}", **body(n % 2)} for n in range(20)]
    assert api.post("/v1/items", json={"items": batch}).status_code == 200
    assert within(5.0, lambda: "freshet_content_r2 0.0\n" not in api.get("/metrics").text)
    return api


def test_a_new_item_is_ranked_by_its_text_in_the_next_request(
    learned: httpx.Client, settings: Settings
) -> None:
    with replica(settings) as other:
        assert within(5.0, lambda: "freshet_content_r2 0.0\n" not in other.get("/metrics").text)
        assert learned.put("/v1/items/decoy", json=body(1)).status_code == 201
        assert learned.put("/v1/items/new", json=body(0)).status_code == 201
        found = ranked(learned)
        assert "new" in found
        assert "decoy" not in found or found.index("new") < found.index("decoy")
        assert within(1.0, lambda: "new" in ranked(other))
    explained = {item["item_id"]: item for item in items(learned, explain=True)}
    assert set(explained["new"]["because"]) <= {"i0", "i2", "i4"}
    assert "new" not in ranked(learned, filter={"exclude": ["new"]})
    assert ranked(learned, filter={"categories": [SIDES[1]]})[-1:] != ["new"]
    assert "new" in ranked(learned, filter={"categories": [SIDES[0]]})
    learned.patch("/v1/items/new", json={"available": False})
    assert "new" not in {item["item_id"] for item in items(learned)}
    learned.patch("/v1/items/new", json={"available": True})
    assert "new" in ranked(learned)
    learned.delete("/v1/items/new")
    assert "new" not in {item["item_id"] for item in items(learned)}


def test_similar_by_content_is_by_what_items_say(learned: httpx.Client) -> None:
    learned.put("/v1/items/new", json={"title": "red shoe", "categories": [SIDES[0]]})

    def similar(item_id: str, **asked: Any) -> list[str]:
        answer = learned.get(f"/v1/items/{item_id}/similar", params={"limit": 10, **asked})
        assert answer.status_code == 200, answer.text
        return [item["item_id"] for item in answer.json()["items"] if item["source"] == "model"]

    even = {f"i{number}" for number in range(0, 20, 2)}
    assert set(similar("new", by="content")) == even
    assert "new" in similar("i0", by="content", limit=20)
    assert similar("i0", by="content", category=SIDES[1]) == []
    assert "i0" not in similar("i0", by="content")
    assert similar("i0") == similar("i0", by="vectors")
    learned.put("/v1/items/mute", json={})
    assert similar("mute", by="content") == []
    assert learned.get("/v1/items/nobody/similar", params={"by": "content"}).status_code == 404
    wrong = learned.get("/v1/items/i0/similar", params={"by": "looks"})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["loc"] == ["query", "by"]


def test_texts_of_every_kind_are_written_and_cost_no_answer(learned: httpx.Client) -> None:
    odd: list[dict[str, Any]] = [
        {"title": ""},
        {"title": "東京都庁 🥾 Ünïcödé"},
        {"description": "shoe " * 1_000},
        {"attributes": {"a": {"b": ["shoe"]}, "kind": "x" * 5_000, "n": 1e308}},
        {"tags": [f"t{n}" for n in range(100)], "categories": [f"c{n}" for n in range(100)]},
    ]
    for number, said in enumerate(odd):
        assert learned.put(f"/v1/items/odd{number}", json=said).status_code == 201
    found = items(learned, limit=200)
    assert len({item["item_id"] for item in found}) == len(found)
    scores = [item["score"] for item in found if item["source"] == "model"]
    assert scores == sorted(scores, reverse=True)
