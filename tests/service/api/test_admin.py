"""Jobs, versions, the pin and status over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from service.domain.versions import JobMode, JobStatus
from service.settings import Settings
from service.storage.jobs import Jobs
from tests.service.api.replicas import replica
from tests.service.api.test_recommendations import await_version, click, recommended
from tests.service.publishing import Publisher, clicks


def test_a_job_is_queued_once_and_reaches_the_end_of_the_log(api: httpx.Client) -> None:
    click(api, "u", "i")
    first = api.post("/v1/admin/retrain", json={"mode": "incremental", "reason": "why"})
    assert first.status_code == 202
    assert first.json()["status"] == "queued"
    before = api.get(f"/v1/admin/jobs/{first.json()['job_id']}").json()
    assert (before["mode"], before["reason"], before["progress"]) == ("incremental", "why", 0.0)
    position = api.post("/v1/events", json={"events": [{"user_id": "u", "item_id": "j"}]}).json()
    again = api.post("/v1/admin/retrain")
    assert again.status_code == 200
    assert again.json()["job_id"] == first.json()["job_id"]
    after = api.get(f"/v1/admin/jobs/{first.json()['job_id']}").json()
    assert after["until"] == position["position"] != before["until"]
    full = api.post("/v1/admin/retrain", json={"mode": "full"})
    assert full.status_code == 202
    assert full.json()["job_id"] != first.json()["job_id"]
    assert api.post("/v1/admin/retrain", json={"mode": "other"}).status_code == 422


def test_jobs_are_listed_cancelled_and_not_found(api: httpx.Client, publisher: Publisher) -> None:
    jobs, asked = Jobs(publisher.registry._engine), []
    for _ in range(5):
        job = api.post("/v1/admin/retrain").json()["job_id"]
        jobs.start(job)
        jobs.end(job, JobStatus.SUCCEEDED, events=3, metrics={"loss": 1.0}, model_version=2)
        asked.append(job)
    last = api.post("/v1/admin/retrain").json()["job_id"]
    cancelled = api.post(f"/v1/admin/jobs/{last}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    assert api.post(f"/v1/admin/jobs/{last}/cancel").status_code == 409
    assert api.get("/v1/admin/jobs/none").status_code == 404
    assert api.post("/v1/admin/jobs/none/cancel").status_code == 404
    found, cursor = [], None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = api.get("/v1/admin/jobs", params=params).json()
        found += [job["job_id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == sorted([*asked, last])
    done = api.get(f"/v1/admin/jobs/{asked[0]}").json()
    assert (done["status"], done["events"], done["progress"]) == ("succeeded", 3, 1.0)
    assert jobs.next_queued(JobMode.INCREMENTAL) is None


def test_versions_are_listed_rolled_back_and_pinned(
    api: httpx.Client, publisher: Publisher
) -> None:
    second = publisher.publish(clicks(20, 10)).version
    third = publisher.publish(clicks(20, 10, prefix="x")).version
    await_version(api, third)
    models = api.get("/v1/admin/models").json()["models"]
    assert [model["version"] for model in models] == [3, 2, 1]
    assert [model["status"] for model in models] == ["active", "retired", "retired"]
    assert models[0]["parent"] == second
    assert models[0]["gate"]["verdict"] == "accepted"
    assert len(models[0]["digest"]) == 64
    page = api.get("/v1/admin/models", params={"limit": 2}).json()
    rest = api.get("/v1/admin/models", params={"cursor": page["next_cursor"]}).json()
    assert [model["version"] for model in rest["models"]] == [1]
    assert rest["next_cursor"] is None
    head = api.post(f"/v1/admin/models/{second}/activate", json={"pin": True}).json()
    assert (head["active"], head["tip"], head["pinned"]) == (second, second, True)
    await_version(api, second)
    fourth = publisher.publish(clicks(20, 10, prefix="y")).version
    assert api.get(f"/v1/admin/models/{fourth}").json()["status"] == "candidate"
    assert recommended(api)["model_version"] == second
    assert api.delete("/v1/admin/pin").json()["pinned"] is False
    await_version(api, second)
    await_version(api, publisher.publish(clicks(20, 10, prefix="z")).version)
    assert api.post("/v1/admin/models/999999/activate", json={}).status_code == 404
    assert api.post("/v1/admin/models/0/activate", json={}).status_code == 422
    assert api.get("/v1/admin/models/999999").status_code == 404


def test_status_says_where_everything_is(api: httpx.Client, publisher: Publisher) -> None:
    click(api, "u", "i", "j")
    status = api.get("/v1/admin/status").json()
    assert status["event_log"]["entries"] == 1
    assert status["event_log"]["lag_events"] == 2
    assert status["event_log"]["durability"] == "memory"
    assert status["head"]["active"] == 1
    assert status["buffer"] == {
        "samples": 0,
        "capacity": 100,
        "stored_bytes": 0,
        "capacity_bytes": None,
        "fill": 0.0,
        "bytes": 0,
    }
    assert [one["replica_id"] for one in status["replicas"]] == [status["replica_id"]]
    assert status["replicas"][0]["model_version"] == 1
    assert status["learner"] is None
    assert status["next_update"] is None


def test_a_user_is_known_by_the_history_that_is_kept(
    make_settings: Callable[..., Settings],
) -> None:
    times = [f"2026-01-01T00:00:0{second}Z" for second in range(5)]
    events = [{"user_id": "u", "item_id": f"i{at}", "timestamp": at} for at in times]
    log = {"history_size": 3, "retention_days": 3_650}
    with replica(make_settings(log=log)) as api:
        assert api.post("/v1/events", json={"events": events}).status_code == 202
        user = api.get("/v1/users/u").json()
    assert (user["events"], user["first_event_at"], user["last_event_at"]) == (
        3,
        times[2],
        times[4],
    )


def test_users_and_their_export(api: httpx.Client) -> None:
    assert api.get("/v1/users/nobody").json()["events"] == 0
    click(api, "u", *[f"i{number}" for number in range(25)])
    click(api, "v", "other")
    user = api.get("/v1/users/u").json()
    assert user["events"] == 25
    assert user["first_event_at"] <= user["last_event_at"]
    found, cursor = [], None
    while True:
        params = {"limit": 10, **({"cursor": cursor} if cursor else {})}
        page = api.get("/v1/users/u/events", params=params).json()
        found += [event["item_id"] for event in page["events"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [f"i{number}" for number in range(25)]
