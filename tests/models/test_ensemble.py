"""Several models as one inner product, against the mean taken by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.ranking.ensemble import joined_vectors

SIZES = (9, 7, 5)
"""Items that each model has heard of; it does not know all of those."""
UNKNOWN = ((8,), (2, 8), (3,))
ITEMS, QUERIES = 9, 4


def models(seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Queries and item vectors of three models, each of a width of its own."""
    random = torch.Generator().manual_seed(seed)
    queries, vectors = [], []
    for place, (size, unknown) in enumerate(zip(SIZES, UNKNOWN, strict=True)):
        width = 3 + place
        known = [row for row in unknown if row < size]
        queries.append(torch.randn(QUERIES, width, generator=random, dtype=torch.float64))
        vectors.append(torch.randn(size, width, generator=random, dtype=torch.float64))
        vectors[-1][known] = torch.nan
    return queries, vectors


def knows(model: int, item: int) -> bool:
    return item < SIZES[model] and item not in UNKNOWN[model]


def by_hand(queries: list[Tensor], vectors: list[Tensor], query: int, item: int) -> float:
    """The mean over models; one that does not know an item takes its own average and what the
    others see in the item beyond theirs."""
    shared = [i for i in range(ITEMS) if all(knows(k, i) for k in range(3))]

    def score(model: int, other: int) -> float:
        return sum(
            float(a * b) for a, b in zip(queries[model][query], vectors[model][other], strict=True)
        )

    def average(model: int) -> float:
        return sum(score(model, other) for other in shared) / len(shared)

    beyond = [score(k, item) - average(k) for k in range(3) if knows(k, item)]
    if not beyond:
        return float("nan")
    filled = [
        score(k, item) if knows(k, item) else average(k) + sum(beyond) / len(beyond)
        for k in range(3)
    ]
    return sum(filled) / 3


def test_scores_are_those_of_the_slow_mean() -> None:
    queries, vectors = models()
    found = torch.cat(queries, 1) @ joined_vectors(vectors).T
    for query in range(QUERIES):
        for item in range(ITEMS):
            expected = by_hand(queries, vectors, query, item)
            assert float(found[query, item]) == pytest.approx(expected, nan_ok=True)
    assert found[:, 8].isnan().all(), "the one that nobody knows"


def test_a_single_model_is_itself_to_the_bit() -> None:
    _, vectors = models()
    for own in (part.float() for part in vectors):
        assert torch.equal(joined_vectors([own]).view(torch.int32), own.view(torch.int32))


def test_copies_of_one_model_rank_as_it_does() -> None:
    queries, vectors = models()
    alone = queries[0] @ vectors[0].T
    joined = torch.cat([queries[0]] * 3, 1) @ joined_vectors([vectors[0]] * 3).T
    torch.testing.assert_close(joined, alone, equal_nan=True)


def test_scores_that_are_higher_throughout_favour_nothing() -> None:
    """Nor punish: whoever knows an item, the order is that of the models without the shift."""
    queries, vectors = models()
    shifted = [part + 5.0 * place for place, part in enumerate(vectors)]
    found, expected = (
        torch.cat(queries, 1) @ joined_vectors(parts)[:8].T for parts in (shifted, vectors)
    )
    offsets = found - expected
    assert offsets.abs().min() > 0.1
    torch.testing.assert_close(offsets, offsets[:, :1].expand_as(offsets))


def test_no_model_is_no_ensemble() -> None:
    with pytest.raises(ValueError, match="models: at least one"):
        joined_vectors([])
