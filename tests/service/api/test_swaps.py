"""Versions change under load: no request fails, and no answer mixes two versions."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from service.domain.versions import VersionRecord
from service.serving.catalogue import CatalogueView
from service.serving.retrieval import Want, retrieve
from service.serving.rules import Eligibility
from service.serving.watcher import Watcher
from service.settings import Settings
from service.storage.checkpoints import CheckpointStore
from service.storage.registry import Registry
from service.telemetry import Metrics
from tests.service.api.test_recommendations import await_version
from tests.service.publishing import Publisher, clicks

SESSION = {"requests": [{"history": ["i0", "i2", "i4"]}], "limit": 8}
SWAPS = 20


def ask(api: httpx.Client) -> dict[str, Any]:
    answer = api.post("/v1/recommendations", json=SESSION)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["results"][0]
    return result


def scores(result: dict[str, Any]) -> dict[str, float]:
    return {item["item_id"]: item["score"] for item in result["items"]}


@pytest.fixture
def versions(publisher: Publisher) -> list[VersionRecord]:
    """Three versions that rank differently and know ever more items."""
    return [publisher.publish(clicks(40, items)) for items in (20, 30, 40)]


def test_versions_swap_under_load_over_http(
    api: httpx.Client, publisher: Publisher, versions: list[VersionRecord]
) -> None:
    expected = {}
    for record in versions:
        publisher.registry.activate(record.version)
        await_version(api, record.version)
        expected[record.version] = scores(ask(api))
    assert len({tuple(answer) for answer in expected.values()}) == 3
    stop, found, failures = threading.Event(), [], []

    def client() -> None:
        with httpx.Client(base_url=api.base_url) as one:
            while not stop.is_set():
                try:
                    found.append(ask(one))
                except (AssertionError, httpx.HTTPError) as error:
                    failures.append(error)

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    for swap in range(SWAPS):
        version = versions[swap % 3].version
        assert api.post(f"/v1/admin/models/{version}/activate").status_code == 200
        await_version(api, version)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert {answer["model_version"] for answer in found} == set(expected)
    for answer in found:
        assert scores(answer) == pytest.approx(expected[answer["model_version"]], abs=1e-4)


def test_a_model_once_taken_is_whole_while_the_watcher_swaps(
    settings: Settings, stores: Engine, versions: list[VersionRecord]
) -> None:
    registry = Registry(stores)
    checkpoints = CheckpointStore(settings.data_dir / "checkpoints")
    watcher = Watcher(registry, checkpoints, Metrics(), poll_s=60.0)
    watcher.look()
    sizes = dict(zip((record.version for record in versions), (20, 30, 40), strict=True))
    stop, torn, reads = threading.Event(), [], [0]

    def read() -> None:
        while not stop.is_set():
            model = watcher.served.model
            want = Want(model, Eligibility(CatalogueView()), 8, history=("i0", "i2"))
            items = [item for item, _ in retrieve([want])[0].ranked]
            whole = len(items) == 8 and all(item in model.items for item in items)
            if not whole or len(model.items) != sizes[model.version] != len(model.vectors):
                torn.append((model.version, items))
            reads[0] += 1

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for swap in range(15):
        registry.activate(versions[swap % 3].version)
        watcher.look()
        assert watcher.served.model.version == versions[swap % 3].version
        time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    assert reads[0] > 30
    assert torn == []
