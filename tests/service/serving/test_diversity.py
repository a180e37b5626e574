"""Maximal marginal relevance against its formula, and what its ends mean."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.serving.diversity import diversified


def everyone(place: int) -> bool:
    return True


def slowly(vectors: torch.Tensor, held: int, size: int, diversity: float) -> list[int]:
    """The formula, one pair at a time."""

    def cosine(one: int, other: int) -> float:
        a, b = vectors[one].double(), vectors[other].double()
        lengths = float(a.norm() * b.norm())
        return max(0.0, float(a @ b) / lengths) if lengths else 0.0

    answer, left = list(range(held)), list(range(size))
    order = []
    while left:
        worth = {
            place: (1 - diversity) * (1 - place / size)
            - diversity * max((cosine(held + place, at) for at in answer), default=0.0)
            for place in left
        }
        best = max(worth.values())
        place = min(place for place in left if worth[place] > best - 1e-12)
        order.append(place)
        answer.append(held + place)
        left.remove(place)
    return order


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    held=st.integers(0, 3),
    size=st.integers(0, 12),
    diversity=st.sampled_from([0.0, 0.1, 0.5, 0.93, 1.0]),
    missing=st.integers(0, 4),
)
def test_the_order_is_that_of_the_formula(
    seed: int, held: int, size: int, diversity: float, missing: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(held + size, 3, generator=generator)
    vectors[torch.randperm(held + size, generator=generator)[:missing]] = 0.0
    found = list(diversified(vectors, held, size, diversity, everyone))
    assert found == slowly(vectors, held, size, diversity)


def test_without_vectors_or_diversity_the_order_stays() -> None:
    assert list(diversified(None, 2, 5, 1.0, everyone)) == [0, 1, 2, 3, 4]
    vectors = torch.ones(5, 2)
    assert list(diversified(vectors, 0, 5, 0.0, everyone)) == [0, 1, 2, 3, 4]


def test_the_next_item_is_unlike_those_above() -> None:
    two = torch.tensor([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 2)
    assert list(diversified(two, 0, 6, 1.0, everyone))[:2] == [0, 4]
    for held, first in ((two[4:5], 0), (two[:1], 4)):
        assert next(diversified(torch.cat([held, two]), 1, 6, 0.9, everyone)) == first


def test_an_item_without_a_vector_is_unlike_everything() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.0], [0.0, 0.0]])
    assert list(diversified(vectors, 0, 4, 1.0, everyone)) == [0, 2, 3, 1]


@pytest.mark.parametrize("diversity", [0.3, 1.0])
def test_who_does_not_fit_is_passed_over_and_compared_with_by_nobody(diversity: float) -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
    allowed = [0, 2, 3]
    found = list(diversified(vectors, 0, 4, diversity, lambda place: place in allowed))
    assert sorted(found) == allowed
    alone = list(diversified(vectors[allowed], 0, 3, 1.0, everyone))
    if diversity == 1.0:
        assert found == [allowed[place] for place in alone]
