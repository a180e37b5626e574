"""Similar items by what was met together, over HTTP, beside a fast memory."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.service.api.test_recommendations import click
from tests.service.memory.world import opened, settle

TOGETHER = [("a", "b"), ("a", "b"), ("a", "c"), ("d", "e")]


@pytest.fixture
def remembered(api: httpx.Client, settings: Settings) -> httpx.Client:
    """A replica that follows a memory of `TOGETHER`."""
    for number, items in enumerate(TOGETHER):
        click(api, f"u{number}", *items)
    click(api, "u9", "alone")
    with opened(settings) as world:
        settle(world.keeper())
    until = time.monotonic() + 10.0
    while api.get("/v1/admin/status").json()["mirror"]["items"] < 6:
        assert time.monotonic() < until, "the memory was not followed"
        time.sleep(0.02)
    return api


def test_similar_by_covisits_is_by_what_was_met_together(remembered: httpx.Client) -> None:
    def similar(item_id: str, **asked: Any) -> list[str]:
        answer = remembered.get(f"/v1/items/{item_id}/similar", params=asked)
        assert answer.status_code == 200, answer.text
        found = answer.json()["items"]
        assert item_id not in {item["item_id"] for item in found}
        return [item["item_id"] for item in found if item["source"] == "model"]

    assert similar("a", by="covisits") == ["b", "c"]
    assert similar("a", by="covisits", limit=1) == ["b"]
    assert similar("a", by="covisits", exclude="b") == ["c"]
    assert similar("e", by="covisits") == ["d"]
    assert similar("alone", by="covisits") == []
    assert similar("a") == similar("a", by="content") == [], "nothing is learned, nor described"
    remembered.put("/v1/items/b", json={"available": False})
    assert similar("a", by="covisits") == ["c"]
    nobody = remembered.get("/v1/items/nobody/similar", params={"by": "covisits"})
    assert nobody.status_code == 404


def test_of_what_was_never_learned_what_it_says_of_itself_stands_in(api: httpx.Client) -> None:
    for item_id, title in (
        ("desk", "brass desk lamp"),
        ("floor", "brass floor lamp"),
        ("t", "tea"),
    ):
        api.put(f"/v1/items/{item_id}", json={"title": title}).raise_for_status()
    until = time.monotonic() + 10.0
    while True:
        found = api.get("/v1/items/desk/similar").json()["items"]
        if [(one["item_id"], one["source"]) for one in found[:1]] == [("floor", "model")]:
            break
        assert time.monotonic() < until, found
        time.sleep(0.05)
