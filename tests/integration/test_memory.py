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
