"""A boost divides an item's place: what that promises, whatever the scores are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.serving.boosts import boosted

scores = st.lists(st.floats(-1e12, 1e12, allow_nan=False), min_size=1, max_size=40).map(
    lambda found: sorted(found, reverse=True)
)


def ranking(values: list[float]) -> list[tuple[str, float]]:
    return [(f"i{place}", value) for place, value in enumerate(values)]


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-6, -1.0), (1e9, 1.7e9)])
def test_twice_the_worth_is_half_the_place_at_any_scale(scale: float, shift: float) -> None:
    ranked = ranking([scale * (10 - place) + shift for place in range(10)])
    factors = {"i9": 2.0, "i6": 1e9, "i1": 0.5}
    found = boosted(ranked, lambda item: factors.get(item, 1.0))
    order = ["i6", "i0", "i2", "i1", "i3", "i4", "i9", "i5", "i7", "i8"]
    assert [item for item, _ in found] == order
    worth = dict(found)
    assert worth["i6"] == ranked[0][1]
    assert worth["i9"] == ranked[4][1]
    assert worth["i1"] == ranked[3][1]


@settings(deadline=None, max_examples=50)
@given(values=scores, data=st.data())
def test_a_boost_lowers_nobody_it_boosts_and_leaves_the_others_in_order(
    values: list[float], data: st.DataObject
) -> None:
    ranked = ranking(values)
    chosen = data.draw(st.sets(st.sampled_from([item for item, _ in ranked])))
    factor = data.draw(st.floats(1.0, 1e300))
    found = boosted(ranked, lambda item: factor if item in chosen else 1.0)
    place = {item: at for at, (item, _) in enumerate(found)}
    before = {item: at for at, (item, _) in enumerate(ranked)}
    assert place.keys() == before.keys()
    assert all(place[item] <= before[item] for item in chosen)
    for group in (chosen, before.keys() - chosen):
        assert sorted(group, key=place.__getitem__) == sorted(group, key=before.__getitem__)
    kept = dict(found)
    assert all(kept[item] == score for item, score in ranked if item not in chosen)


@settings(deadline=None, max_examples=50)
@given(values=scores, factors=st.lists(st.floats(0.0, 1e308), min_size=40, max_size=40))
def test_scores_fall_and_stay_within_those_there_were(
    values: list[float], factors: list[float]
) -> None:
    ranked = ranking(values)
    found = boosted(ranked, lambda item: factors[int(item[1:])] + 5e-324)
    after = [score for _, score in found]
    assert all(math.isfinite(score) for score in after)
    assert after == sorted(after, reverse=True)
    assert values[-1] <= after[-1] <= after[0] <= values[0]
    assert boosted(ranked, lambda item: 1.0) == ranked
