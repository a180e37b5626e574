"""`objective` chooses the head: what is bought is not what is clicked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from models.continual.state import LearningState
from service.settings import Settings
from tests.models.errands import WANTED, errands
from tests.service.api.test_recommendations import await_version, click, ids, recommended
from tests.service.publishing import Publisher, small_config

BOTH = ("click", "purchase")


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(learning={"replay_size": 100, "type_heads": list(BOTH)})


def publish(api: httpx.Client, publisher: Publisher, *heads: str) -> None:
    """A version that has learned both errands, with these heads; the replica serves it."""
    config = dataclasses.replace(small_config(), type_heads=heads, min_steps=200)
    publisher.state = LearningState.initial(config)
    await_version(api, publisher.publish(errands()).version)


def letters(body: dict[str, Any]) -> str:
    return "".join(item_id[0] for item_id in ids(body))


def test_each_objective_has_its_own_ranking(api: httpx.Client, publisher: Publisher) -> None:
    publish(api, publisher, *BOTH)
    click(api, "u", "CA1", "PA2", "CA3")
    for objective in BOTH:
        body = recommended(api, "u", limit=5, objective=objective, explain=True)
        assert letters(body).count(WANTED[objective]) >= 4, body
        assert body["degraded"] == []
        asked = {"requests": [{"user_id": "u"}, {"history": ["CA1", "PA2", "CA3"]}], "limit": 5}
        many = api.post("/v1/recommendations", json={**asked, "objective": objective}).json()
        assert [ids(one) for one in many["results"]] == [ids(body)] * 2
    assert ids(recommended(api, "u")) == ids(recommended(api, "u", objective="click"))


def test_an_explanation_goes_through_the_head_that_ranked(
    api: httpx.Client, publisher: Publisher
) -> None:
    publish(api, publisher, *BOTH)
    click(api, "u", "CA1", "PA2", "CB3", "CA5", "PB1")
    reasons = [
        {
            item["item_id"]: item["because"]
            for item in recommended(api, "u", limit=24, objective=objective, explain=True)["items"]
        }
        for objective in BOTH
    ]
    both = reasons[0].keys() & reasons[1].keys()
    assert any(reasons[0][item] != reasons[1][item] for item in both)


def test_a_version_that_has_not_learned_the_head_yet_says_so(
    api: httpx.Client, publisher: Publisher
) -> None:
    assert recommended(api, objective="purchase")["degraded"] == []
    publish(api, publisher)
    click(api, "u", "CA1", "PA2", "CA3")
    answers = [recommended(api, "u", objective=objective) for objective in BOTH]
    assert [body["degraded"] for body in answers] == [["objective"]] * 2
    assert ids(answers[0]) == ids(answers[1]), "the query that all types share"


@pytest.mark.parametrize("objective", ["like", "no-such", "skip"])
def test_an_objective_without_a_head_is_refused_and_those_there_are_named(
    api: httpx.Client, objective: str
) -> None:
    answers = {
        "query": api.get("/v1/users/u/recommendations", params={"objective": objective}),
        "body": api.post("/v1/recommendations", json={"requests": [{}], "objective": objective}),
    }
    for place, answer in answers.items():
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["loc"] == [place, "objective"]
        assert "must be one of click, purchase;" in error["msg"]


def test_click_is_always_there(make_settings: Callable[..., Settings]) -> None:
    """The default: through the query that types without a head share."""
    assert make_settings().objectives == ("click",)
    assert make_settings(learning={"type_heads": ["purchase"]}).objectives == ("click", "purchase")
