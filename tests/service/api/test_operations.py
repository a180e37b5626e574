"""Liveness, readiness, metrics, the page, and the way out."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import redis
from anyio import to_thread

from models.compression import Rows
from service.api.app import create_app
from service.api.building import open_services
from service.api.drain import Drain
from service.learner.status import State, Status
from service.sections import ServingSettings
from service.serving.model import ServingModel
from service.serving.watcher import Watcher
from service.settings import Settings
from service.storage.checkpoints import CheckpointStore
from service.storage.keys import Keys
from service.telemetry import Metrics
from tests.conftest import free_port
from tests.service.api.replicas import running
from tests.service.api.test_recommendations import await_version, click, recommended
from tests.service.publishing import Publisher, clicks


def test_a_replica_lives_and_is_ready(shared_api: httpx.Client) -> None:
    assert shared_api.get("/healthz").json() == {"status": "alive"}
    ready = shared_api.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["database"] == ready.json()["log"] == "up"


def test_metrics_count_what_happens(api: httpx.Client) -> None:
    click(api, "u", "i", "j")
    recommended(api)
    text = api.get("/metrics").text
    assert "freshet_events_accepted_total 2.0" in text
    assert 'freshet_recommendations_total{source="fallback"} 1.0' in text
    assert "freshet_model_version 1.0" in text
    assert 'route="/v1/users/{user_id}/recommendations",status="200"} 1.0' in text
    assert 'freshet_store_up{store="log"} 1.0' in text
    assert "# HELP freshet_request_seconds" in text


def test_metrics_tell_what_the_learner_says(
    settings: Settings, keys: Keys, redis_client: redis.Redis
) -> None:
    last = {"update_s": 1.5, "positions_per_s": 2_000.0}
    verdicts = {"accepted": 3, "insufficient_evidence": 1}
    learner = Status(redis_client, keys)
    learner.say(state=State.HALTED, lag_events=7, last_update=last, verdicts=verdicts)
    learner.beat()
    with running(create_app(settings)) as api:
        text = api.get("/metrics").text
    assert "freshet_learner_up 1.0" in text
    assert "freshet_learner_halted 1.0" in text
    assert "freshet_learner_lag_events 7.0" in text
    assert "freshet_learner_update_seconds 1.5" in text
    assert "freshet_learner_positions_per_second 2000.0" in text
    assert 'freshet_learner_windows{verdict="insufficient_evidence"} 1.0' in text


def test_a_publish_beside_a_pin_loads_nothing_anew(
    settings: Settings, publisher: Publisher
) -> None:
    good = publisher.publish(clicks(20, 10)).version
    publisher.registry.pin()
    checkpoints = CheckpointStore(settings.data_dir / "checkpoints")
    watcher = Watcher(publisher.registry, checkpoints, Metrics(), poll_s=60.0)
    watcher.look()
    before = watcher.served
    publisher.publish(clicks(20, 10, prefix="x"))
    watcher.look()
    after = watcher.served
    assert after.model is before.model
    assert (after.model.version, after.since_ms) == (good, before.since_ms)
    assert after.generation == publisher.registry.head().generation > before.generation


@pytest.mark.parametrize("rows", ["float16", "int8"])
def test_a_replica_keeps_the_rows_that_its_settings_ask_for(
    settings: Settings, publisher: Publisher, rows: str
) -> None:
    publisher.publish(clicks(20, 10))
    serving = ServingSettings.model_validate({"rows": rows})
    changed = settings.model_copy(update={"serving": serving})

    async def served() -> ServingModel:
        async with open_services(changed, Metrics(), Drain()) as services:
            await to_thread.run_sync(services.watcher.look)
            return services.watcher.served.model

    kept = asyncio.run(served()).vectors
    assert isinstance(kept, Rows)
    assert str(kept.values.dtype) == f"torch.{rows}"


def test_the_page_says_what_this_is_and_loads_nothing_from_elsewhere(
    shared_api: httpx.Client,
) -> None:
    page = shared_api.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "freshet" in page.text
    assert "/docs" in page.text
    assert "http" not in page.text.replace("HTTP", "")
    assert "$" not in page.text


def test_a_draining_replica_is_not_ready_and_closes_connections(settings: Settings) -> None:
    drain = Drain()
    with running(create_app(settings, drain)) as api:
        assert "connection" not in api.get("/healthz").headers
        drain.begin()
        answer = api.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["draining"] is True
        assert answer.headers["connection"] == "close"
        assert api.get("/v1/users/u/recommendations").status_code == 200


def test_a_version_whose_files_are_broken_is_not_served(
    api: httpx.Client, publisher: Publisher, settings: Settings
) -> None:
    good = publisher.publish(clicks(20, 10)).version
    await_version(api, good)
    checkpoints = settings.data_dir / "checkpoints"
    before = set(checkpoints.iterdir())
    publisher.registry.pin()
    bad = publisher.publish(clicks(20, 10, prefix="x")).version
    (directory,) = set(checkpoints.iterdir()) - before
    for path in directory.glob("*.safetensors"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    api.post(f"/v1/admin/models/{bad}/activate")
    until = time.monotonic() + 10
    while not (said := api.get("/readyz").json())["error"]:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert said["ready"] is True
    assert f"version {bad}" in said["error"]
    assert recommended(api)["model_version"] == good
    assert 'freshet_model_loads_total{outcome="failed"}' in api.get("/metrics").text


def test_a_replica_that_starts_with_a_broken_version_takes_the_one_before(
    make_settings: Callable[..., Settings], publisher: Publisher
) -> None:
    settings = make_settings()
    good = publisher.publish(clicks(20, 10)).version
    before = set((settings.data_dir / "checkpoints").iterdir())
    publisher.publish(clicks(20, 10, prefix="x"))
    (directory,) = set((settings.data_dir / "checkpoints").iterdir()) - before
    next(directory.glob("serving*")).unlink()
    with running(create_app(settings)) as api:
        assert recommended(api)["model_version"] == good
        assert api.get("/readyz").json()["error"]


@pytest.mark.processes
def test_sigterm_drains_and_ends_without_a_failed_request(
    settings: Settings, tmp_path: Path
) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "FRESHET_REDIS_URL": str(settings.redis_url),
        "FRESHET_DATABASE_URL": str(settings.database_url),
        "FRESHET_DATA_DIR": str(tmp_path),
        "FRESHET_NAMESPACE": settings.namespace,
        "FRESHET_PORT": str(port),
        "FRESHET_SERVING__DRAIN_S": "3.0",
        "OMP_NUM_THREADS": "1",
    }
    start = "from service.settings import Settings; from service.api.server import run; "
    process = subprocess.Popen([sys.executable, "-c", start + "run(Settings())"], env=environment)
    statuses: list[int] = []
    unready: list[int] = []
    url = f"http://127.0.0.1:{port}"
    try:
        _await_ready(url)
        stop = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=url) as client:
                while not stop.is_set():
                    statuses.append(client.get("/v1/users/u/recommendations").status_code)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(statuses) <= 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        while httpx.get(f"{url}/readyz").status_code == 200:
            time.sleep(0.01)
        unready.append(httpx.get(f"{url}/readyz").status_code)
        stop.set()
        for thread in threads:
            thread.join()
        assert process.wait(timeout=15) == 0
    finally:
        process.kill()
        process.wait()
    assert unready == [503]
    assert len(statuses) > 20
    assert set(statuses) == {200}


def _await_ready(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError(url)
