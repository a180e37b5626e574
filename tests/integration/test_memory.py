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
        before = service.get("/v1/admin/status")["mirror"]["items"]
        new = uuid.uuid4().hex
        service.post("/v1/events", {"events": [{"user_id": f"m-{new}", "item_id": f"m-{new}"}]})
        started = time.monotonic()
        await_true(
            "it is remembered",
            lambda before=before: service.get("/v1/admin/status")["mirror"]["items"] > before,
        )
        took.append(time.monotonic() - started)
    assert sorted(took)[2] < 1.0


def test_the_memory_and_the_mirror_say_how_they_are(service: Running) -> None:
    await_true("all is remembered", lambda: _lag(service) == 0)
    status = service.get("/v1/admin/status")
    assert status["memory"]["state"] == "keeping"
    assert status["memory"]["items"] == status["mirror"]["items"]
    metrics = service.client.get("/metrics").text
    assert "freshet_memory_up 1.0" in metrics
    assert "freshet_memory_mirror_age_seconds 0." in metrics


def _lag(service: Running) -> int | None:
    memory = service.get("/v1/admin/status")["memory"] or {}
    lag: int | None = memory.get("lag_events")
    return lag
