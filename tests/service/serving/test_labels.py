"""What of tags and attributes rules can match, and what keeping it costs."""

from __future__ import annotations

import math

import pytest

from service.domain.catalogue import Item
from service.domain.rules import Rule, Rules, Value, comparable
from service.serving import labels
from service.serving.catalogue import CatalogueView, Entry
from service.serving.rules import Eligibility


def matches(attributes: dict[str, object], *values: str | float | bool) -> bool:
    view = CatalogueView().with_items([Item("i", attributes=attributes, revision=1)])
    asked: frozenset[Value] = frozenset(comparable(value) for value in values)
    rules = Rules.of([Rule("attributes.a", asked, -1.0)])
    return Eligibility(view, rules=rules).allows("i")


@pytest.mark.parametrize("value", ["red", 3, 3.5, True, ["blue", "red"], ["red", {"x": 1}]])
def test_scalars_and_lists_of_them_are_matched(value: object) -> None:
    assert matches({"a": value}, "red", 3, 3.5, True)
    assert not matches({"a": value}, "other")
    assert not matches({"b": value}, "red", 3, 3.5, True)


def test_numbers_and_truth_compare_as_in_json() -> None:
    assert matches({"a": 1}, 1.0)
    assert not matches({"a": 1}, True)
    assert not matches({"a": True}, 1)
    assert not matches({"a": 1}, "1")


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, [math.nan], None, {"a": "red"}, [["red"]], "r" * 257]
)
def test_what_is_no_finite_scalar_is_not_kept(value: object) -> None:
    assert Entry.of(Item("i", attributes={"a": value})).attributes == {}


def test_an_entry_keeps_so_much_and_no_more_and_shares_its_words() -> None:
    names = [f"name {number}" for number in range(300)]
    one = Entry.of(Item("i", tags=(" ".join("xy"),), attributes={"list": names}))
    assert len(one.attributes["list"]) == labels.MAX_VALUES
    attributes = dict.fromkeys(names, " ".join("xy"))
    many = Entry.of(Item("j", tags=(" ".join("xy"),), attributes=attributes))
    assert len(many.attributes) == labels.MAX_VALUES
    assert one.tags[0] is many.tags[0] is many.attributes["name 0"][0]
