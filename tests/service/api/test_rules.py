"""Rules over HTTP: where they stand, what they bear, and what is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.service.api.test_bad_input import check_problem

LISTS = ["/v1/items/popular", "/v1/items/trending", "/v1/items/latest"]


@pytest.fixture
def shop(api: httpx.Client) -> httpx.Client:
    """Ten items of two colours and two categories, each clicked as often as its number says."""
    items = [
        {
            "item_id": f"i{number}",
            "categories": ["all", "even" if number % 2 == 0 else "odd"],
            "tags": ["low"] if number < 5 else ["high"],
            "attributes": {"colour": "red" if number in (3, 4) else "blue", "size": number},
        }
        for number in range(10)
    ]
    assert api.post("/v1/items", json={"items": items}).status_code == 200
    sent = [
        {"user_id": f"u{place}", "item_id": f"i{number}"}
        for number in range(10)
        for place in range(number + 1)
    ]
    assert api.post("/v1/events", json={"events": sent}).status_code == 202
    until = time.monotonic() + 10.0
    while any(len(ids(api.get(path).json())) < 10 for path in LISTS):
        assert time.monotonic() < until, "the lists were not counted"
        time.sleep(0.02)
    return api


def ids(body: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in body["items"]]


def post(api: httpx.Client, **wishes: Any) -> list[str]:
    answer = api.post("/v1/recommendations", json={"requests": [{"history": []}], **wishes})
    assert answer.status_code == 200, answer.text
    return ids(answer.json()["results"][0])


def rule(field: str, values: list[Any], bias: float) -> dict[str, Any]:
    return {"field": field, "values": values, "bias": bias}


def test_rules_ask_keep_out_and_boost(shop: httpx.Client) -> None:
    assert set(post(shop, rules=[rule("attributes.colour", ["red"], -1)])) == {"i3", "i4"}
    assert set(post(shop, rules=[rule("attributes.size", [3.0, 7], -1)])) == {"i3", "i7"}
    without = post(shop, rules=[rule("tags", ["low"], 0), rule("item_id", ["i9"], 0)])
    assert set(without) == {"i5", "i6", "i7", "i8"}
    order = post(shop)
    assert len(order) == 10
    lifted = post(shop, rules=[rule("item_id", [order[5]], 100.0)])
    assert lifted == [order[5], *order[:5], *order[6:]]
    assert post(shop, rules=[rule("tags", ["low"], 1.0)]) == order
    asked = [rule("tags", ["low"], -1), rule("tags", ["low"], 0)]
    assert post(shop, rules=asked) == []
    assert post(shop, rules=[rule("categories", ["nobody has"], -1)]) == []


def test_one_code_path_filters_one_and_many(shop: httpx.Client) -> None:
    for query, body in (
        ({"category": ["even", "odd"]}, {"filter": {"categories": ["even", "odd"]}}),
        ({"categories_all": ["all", "even"]}, {"filter": {"categories_all": ["all", "even"]}}),
        ({"categories_all": ["odd", "even"]}, {"filter": {"categories_all": ["odd", "even"]}}),
        (
            {"exclude": [f"i{n}" for n in range(9)]},
            {"filter": {"exclude": [f"i{n}" for n in range(9)]}},
        ),
        ({"max_per_category": 2}, {"max_per_category": 2}),
        ({"diversity": 0.5}, {"diversity": 0.5}),
    ):
        one = ids(shop.get("/v1/users/nobody/recommendations", params=query).json())
        assert one == post(shop, **body)
    assert set(post(shop, filter={"categories_all": ["all", "even"]})) == {
        "i0", "i2", "i4", "i6", "i8",
    }  # fmt: skip
    assert len(post(shop, max_per_category=2)) == 2


@pytest.mark.parametrize("path", [*LISTS, "/v1/items/i9/similar"])
def test_lists_and_similar_items_take_the_same_filters(shop: httpx.Client, path: str) -> None:
    def get(**params: Any) -> list[str]:
        answer = shop.get(path, params={"limit": 3, **params})
        assert answer.status_code == 200, answer.text
        return ids(answer.json())

    assert len(get()) == 3
    gone = ["i0", "i2", "i4", "i9"]
    assert set(get(categories_all=["all", "even"], exclude=gone)) == {"i6", "i8"}
    assert len(get(max_per_category=1)) == 1
    assert get(category="nobody has") == []
    assert get(diversity=1.0) == get()  # nothing is learned, so nothing is alike
    check_problem(shop.get(path, params={"max_per_category": 0}), 422)


def test_what_is_published_later_is_not_there_yet(shop: httpx.Client) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    shop.patch("/v1/items/i9", json={"published_at": soon.isoformat()})
    shop.put("/v1/items/new", json={"published_at": soon.isoformat(), "categories": ["all"]})
    bodies = [shop.get("/v1/users/x/recommendations").json()]
    bodies += [shop.get(path, params={"category": "all"}).json() for path in LISTS]
    bodies.append(shop.get("/v1/items/i1/similar").json())
    for body in bodies:
        assert not {"i9", "new"} & set(ids(body))
    shop.patch("/v1/items/i9", json={"published_at": "2020-01-01T00:00:00Z"})
    assert "i9" in post(shop)


def test_a_thousand_exclusions_and_as_many_rules_as_may_be(shop: httpx.Client) -> None:
    gone = [f"i{number}" for number in range(1_000)]
    assert post(shop, filter={"exclude": gone}) == []
    assert post(shop, rules=[rule("item_id", gone, 0)] * 50) == []
    assert len(post(shop, rules=[rule("item_id", gone, 2)] * 50)) == 10


BAD = [
    ({"rules": [rule("tags", ["a"], 1.0)] * 101}, ["rules"]),
    ({"rules": [rule("tags", ["a"] * 1_001, 1.0)]}, ["rules", 0, "values"]),
    ({"rules": [rule("tags", [], 1.0)]}, ["rules", 0, "values"]),
    ({"rules": [rule("tags", [3], 1.0)]}, ["rules", 0]),
    ({"rules": [rule("tags", [None], 1.0)]}, ["rules", 0, "values", 0]),
    ({"rules": [rule("attributes.a", [["x"]], 1.0)]}, ["rules", 0, "values", 0]),
    ({"rules": [rule("title", ["a"], 1.0)]}, ["rules", 0, "field"]),
    ({"rules": [rule("attributes.", ["a"], 1.0)]}, ["rules", 0, "field"]),
    ({"rules": [{"field": "tags", "values": ["a"]}]}, ["rules", 0, "bias"]),
    ({"rules": [rule("tags", ["a"], "much")]}, ["rules", 0, "bias"]),  # type: ignore[arg-type]
    ({"rules": {}}, ["rules"]),
    ({"max_per_category": 0}, ["max_per_category"]),
    ({"max_per_category": 1.5}, ["max_per_category"]),
    ({"diversity": 1.1}, ["diversity"]),
    ({"filter": {"categories_all": ["a"] * 101}}, ["filter", "categories_all"]),
]


@pytest.mark.parametrize(("wishes", "place"), BAD, ids=[str(place) for _, place in BAD])
def test_a_rule_that_cannot_be_is_named(
    shared_api: httpx.Client, wishes: dict[str, Any], place: list[str | int]
) -> None:
    answer = shared_api.post("/v1/recommendations", json={"requests": [{}], **wishes})
    body = check_problem(answer, 422)
    wanted = ["body", *place]
    assert any(error["loc"][: len(wanted)] == wanted for error in body["errors"]), body


@pytest.mark.parametrize("bias", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_bias_that_is_no_number_is_refused(shared_api: httpx.Client, bias: str) -> None:
    text = '{"requests":[{}],"rules":[{"field":"tags","values":["a"],"bias":' + bias + "}]}"
    answer = shared_api.post(
        "/v1/recommendations", content=text, headers={"content-type": "application/json"}
    )
    check_problem(answer, 422)


def test_rules_are_for_bodies_and_an_attribute_that_is_no_number_is_refused(
    shared_api: httpx.Client,
) -> None:
    body = check_problem(shared_api.get("/v1/users/u/recommendations?rules=[]"), 422)
    assert body["errors"][0]["loc"] == ["query", "rules"]
    text = b'{"attributes": {"price": NaN}}'
    answer = shared_api.put(
        "/v1/items/nan", content=text, headers={"content-type": "application/json"}
    )
    check_problem(answer, 422)
