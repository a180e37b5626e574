"""Ids that are signed, answers that are written down beside requests, and what comes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from service.domain.recommendations import FALLBACK, Recommendation, RecommendedItem
from service.errors import Unavailable
from service.sections import OnlineSettings
from service.serving.catalogue import CatalogueView
from service.serving.model import ServingModel
from service.serving.recorder import MAX_WAITING, Recorder
from service.serving.watcher import FIRST_RECORD
from service.settings import Settings
from service.storage import connections
from service.storage.keys import Keys
from service.storage.online import OnlineStore
from service.storage.receipts import OTHER, Receipt, Receipts
from service.storage.registry import Registry
from service.telemetry import Metrics
from tests.conftest import free_port, start_valkey
from tests.service.api.replicas import replica
from tests.service.api.test_recommendations import await_version, click, ids, recommended
from tests.service.learner.world import opened, settle
from tests.service.publishing import Publisher
from tests.service.publishing import clicks as taught

SMALL = {"embedding_dim": 16, "max_history": 8, "min_steps": 5, "epochs": 1}


def status(api: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/v1/admin/status").json()["online"]
    return found


def await_kept(api: httpx.Client, number: int) -> dict[str, Any]:
    until = time.monotonic() + 10.0
    while (found := status(api))["total"]["answers"] < number:
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def read(stores: Engine, id_: str) -> Receipt:
    found = Receipts(Registry(stores).secret()).read(id_)
    assert found is not None
    return found


def test_an_id_says_which_version_answered_what_kind_of_question(
    api: httpx.Client, publisher: Publisher, stores: Engine
) -> None:
    version = publisher.publish(taught(40, 30)).version
    await_version(api, version)
    click(api, "u", "i0")
    receipt = read(stores, recommended(api, "u")["recommendation_id"])
    assert (receipt.version, receipt.kind) == (version, "personalized")
    assert abs(receipt.time_s - time.time()) < 10
    asked = {"requests": [{"history": ["i1"]}, {"user_id": "new"}]}
    results = api.post("/v1/recommendations", json=asked).json()["results"]
    session, fallback = (read(stores, one["recommendation_id"]) for one in results)
    assert (session.kind, session.user, fallback.kind) == ("session", 0, "fallback")
    for path in ("/v1/items/i0/similar", "/v1/items/popular", "/v1/items/latest"):
        assert read(stores, api.get(path).json()["recommendation_id"]).kind == OTHER


def test_from_an_answer_to_its_figures(
    make_settings: Callable[..., Settings], stores: Engine, publisher: Publisher
) -> None:
    """A replica answers, a client clicks, a learner joins; every replica tells of it."""
    settings = make_settings(window={"max_events": 4}, learning=SMALL)
    version = publisher.publish(taught(40, 30)).version
    with replica(settings) as api:
        await_version(api, version)
        before = await_kept(api, 1)["total"]["answers"]
        click(api, "u", "i0")
        body = recommended(api, "u", limit=5)
        api.get("/v1/items/popular")
        found = await_kept(api, before + 1)
        mine = next(one for one in found["versions"] if one["version"] == version)
        assert found["kept"] == found["total"]["answers"] == before + 1
        assert mine["sources"]["model"]["shown"] >= 5
        assert 0 < mine["coverage"] <= 1
        assert 3 < mine["novelty_bits"] < 8, "thirty items, each met some eight times"
        id_ = body["recommendation_id"]
        click(api, "u", ids(body)[2], type="purchase", recommendation_id=id_)
        click(api, "u", ids(body)[3], type="skip", recommendation_id=id_)
        click(api, "thief", ids(body)[0], recommendation_id=id_)
        with opened(settings) as world:
            settle(world.learner())
        found = status(api)
        assert found["events"] == {"foreign": 1, "joined": 2}
        mine = next(one for one in found["versions"] if one["version"] == version)
        assert (mine["clicked"], mine["converted"], mine["skips"]) == (1, 1, 1)
        assert mine["click_through"] == mine["clicked"] / mine["answers"]
        assert mine["sources"]["model"]["conversions"] == 1
    with replica(settings) as other:
        text = other.get("/metrics").text
    assert f'freshet_online_click_through{{version="{version}"}}' in text
    assert 'freshet_online_converted_items{source="model",version="all"} 1.0' in text
    assert 'freshet_online_events{outcome="foreign"} 1.0' in text


def test_what_is_explored_is_counted_apart(
    make_settings: Callable[..., Settings], stores: Engine, publisher: Publisher
) -> None:
    serving = {"poll_s": 0.05, "catalogue_poll_s": 0.05, "lists_refresh_s": 0.1}
    exploring = {**serving, "explore_share": 0.2, "explore_method": "new"}
    settings = make_settings(window={"max_events": 2}, serving=exploring, learning=SMALL)
    version = publisher.publish(taught(40, 30)).version
    with replica(settings) as api:
        await_version(api, version)
        for number in range(5):
            assert api.put(f"/v1/items/new-{number}", json={}).status_code == 201
        before = await_kept(api, 1)["total"]["answers"]
        click(api, "u", "i0")
        body = recommended(api, "u", limit=10)
        explored = [item["item_id"] for item in body["items"] if item["source"] == "explore"]
        assert len(explored) == 2
        assert all(item_id.startswith("new-") for item_id in explored)
        await_kept(api, before + 1)
        click(api, "u", explored[0], recommendation_id=body["recommendation_id"])
        with opened(settings) as world:
            settle(world.learner())
        mine = next(one for one in status(api)["versions"] if one["version"] == version)
        assert mine["sources"]["explore"]["positive"] == 1
        assert mine["sources"]["explore"]["shown"] >= 2
    with replica(settings) as other:
        text = other.get("/metrics").text
    assert 'freshet_online_positive_items{source="explore",version="all"} 1.0' in text


def test_where_nothing_is_kept_ids_are_signed_and_nothing_is_measured(
    make_settings: Callable[..., Settings], stores: Engine
) -> None:
    with replica(make_settings(online={"answers": 0})) as api:
        click(api, "u", "i0")
        assert read(stores, recommended(api)["recommendation_id"]).version == 1
        assert status(api) is None
        assert "freshet_online_answers{" not in api.get("/metrics").text


def test_answers_that_a_server_missed_are_written_when_it_is_back(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    port = free_port()
    server = start_valkey(tmp_path, "--appendonly", "no", port=port)
    try:
        with replica(make_settings(redis_url=server.url)) as api:
            api.put("/v1/items/i0", json={"title": "Something"})
            server.stop()
            started = time.monotonic()
            given = [recommended(api) for _ in range(3)]
            assert time.monotonic() - started < 5
            assert all(ids(body) == ["i0"] for body in given)
            assert status(api) is None
            server = start_valkey(tmp_path, "--appendonly", "no", port=port)
            assert await_kept(api, 3)["total"]["answers"] == 3
    finally:
        server.stop()


def test_what_waits_is_bounded(keys: Keys) -> None:
    answer = Recommendation(
        None, FALLBACK, 1, None, tuple(RecommendedItem(f"i{n}", 1.0, "popular") for n in range(200))
    )
    with connections.connect(f"redis://127.0.0.1:{free_port()}", timeout_s=0.2) as client:
        store, metrics = OnlineStore(client, keys, OnlineSettings()), Metrics()
        receipts, model = Receipts(b"secret"), ServingModel.empty(FIRST_RECORD)
        recorder = Recorder(store, lambda: receipts, lambda: model, CatalogueView, metrics)
        given = recorder.issue([answer] * (MAX_WAITING // 200 + 7))
        with pytest.raises(Unavailable):
            asyncio.run(recorder.write())
    assert len({one.recommendation_id for one in given}) == MAX_WAITING // 200 + 7
    assert "freshet_online_dropped_answers_total 7.0" in metrics.render().decode()


def test_before_the_secret_is_known_an_answer_has_an_id_all_the_same() -> None:
    metrics, model = Metrics(), ServingModel.empty(FIRST_RECORD)
    recorder = Recorder(None, lambda: None, lambda: model, CatalogueView, metrics)
    (given,) = recorder.issue([Recommendation(None, FALLBACK, 1, None, ())])
    assert given.recommendation_id.startswith("r-")
    assert "freshet_online_dropped_answers_total 1.0" in metrics.render().decode()
