"""The fast memory of a whole service: in every replica within a second."""

from __future__ import annotations

import time
import uuid

import pytest

from tests.integration.running import Running, await_true

pytestmark = pytest.mark.processes


def test_an_event_is_in_the_replicas_mirror_within_a_second(service: Running) -> None:
    await_true("the memory is up", lambda: bool(service.get("/v1/admin/status")["memory"]))
    took = []
    for _ in range(5):
        before, new = _mirrored(service), uuid.uuid4().hex
        service.post("/v1/events", {"events": [{"user_id": f"m-{new}", "item_id": f"m-{new}"}]})
        started = time.monotonic()
        while _mirrored(service) == before and time.monotonic() < started + 20:
            time.sleep(0.02)
        took.append(time.monotonic() - started)
    assert sorted(took)[2] < 1.0


def test_the_memory_and_the_mirror_say_how_they_are(service: Running) -> None:
    await_true("all is remembered", lambda: _lag(service) == 0)
    assert service.get("/v1/admin/status")["memory"]["state"] == "keeping"
    await_true("the mirror is level", lambda: _mirrored(service) == _items(service))

    def shown() -> bool:
        metrics = service.client.get("/metrics").text
        known = f"freshet_memory_items {float(_mirrored(service))}"
        return "freshet_memory_up 1.0" in metrics and known in metrics

    await_true("the metrics say so", shown)


def test_what_has_never_happened_is_recommended_by_its_text(service: Running) -> None:
    word = f"word{uuid.uuid4().hex}"
    old, new = f"old-{word}", f"new-{word}"
    service.client.put(f"/v1/items/{old}", json={"title": word}).raise_for_status()
    service.post("/v1/events", {"events": [{"user_id": f"t-{word}", "item_id": old}]})
    await_true("it is mirrored", lambda: bool(_recommended(service, old, exclude=False).get(old)))
    service.client.put(f"/v1/items/{new}", json={"title": word}).raise_for_status()
    sources = _recommended(service, old, exclude=True)
    assert "content" in sources[new]


def _recommended(service: Running, item: str, *, exclude: bool) -> dict[str, list[str]]:
    wanted = {"limit": 50, "explain": True, "filter": {"exclude_seen": exclude}}
    found = service.post("/v1/recommendations", {"requests": [{"history": [item]}], **wanted})
    return {one["item_id"]: one["sources"] for one in found["results"][0]["items"]}


def _mirrored(service: Running) -> int:
    found: int = service.get("/v1/admin/status")["mirror"]["items"]
    return found


def _items(service: Running) -> int:
    found: int = service.get("/v1/admin/status")["memory"]["items"]
    return found


def _lag(service: Running) -> int | None:
    memory = service.get("/v1/admin/status")["memory"] or {}
    lag: int | None = memory.get("lag_events")
    return lag
