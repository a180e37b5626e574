"""An event's whole life, through the processes of `freshet serve`."""

from __future__ import annotations

import pytest

from tests.integration.running import Running, await_true, two_tastes

pytestmark = pytest.mark.processes


def test_the_tastes_are_learned_and_served(service: Running, taste: str) -> None:
    def learned() -> bool:
        service.post("/v1/events", {"events": two_tastes(taste, clicks=3)})
        await_true("all is learned", service.learned_all)
        return service.active() > 1 and share_of_own_side(service, taste) >= 0.9

    await_true("nearly all that the model recommends is of the user's side", learned)
    assert service.active() > 1


def share_of_own_side(service: Running, taste: str) -> float:
    """Among the items that the model ranked; 0 while it ranks fewer than most of them."""
    found: list[bool] = []
    for user in range(40):
        side = "AB"[user % 2]
        body = service.get(f"/v1/users/{taste}-{side}{user}/recommendations", limit=5)
        assert body["source"] == "personalized"
        ranked = [one["item_id"] for one in body["items"] if one["source"] == "model"]
        found += [item.startswith(f"{taste}-{side}-") for item in ranked]
    return sum(found) / len(found) if len(found) > 100 else 0.0


def test_the_next_request_sees_the_event(service: Running, taste: str) -> None:
    path = f"/v1/users/{taste}-new/recommendations"
    assert service.get(path)["source"] == "fallback"
    events = [{"user_id": f"{taste}-new", "item_id": f"{taste}-A-item1"}]
    assert service.post("/v1/events", {"events": events})["durability"] == "always"
    after = service.get(path, limit=100)
    assert f"{taste}-A-item1" not in {item["item_id"] for item in after["items"]}


def test_asking_for_an_update_learns_what_was_acknowledged(service: Running, taste: str) -> None:
    service.post("/v1/events", {"events": two_tastes(taste, clicks=2)})
    job = service.post("/v1/admin/retrain", {"mode": "incremental", "reason": "test"})["job_id"]
    ended = ("succeeded", "rejected", "failed", "cancelled")
    await_true("the job ends", lambda: service.get(f"/v1/admin/jobs/{job}")["status"] in ended)
    assert service.get(f"/v1/admin/jobs/{job}")["status"] in ("succeeded", "rejected")
    assert service.learned_all()
