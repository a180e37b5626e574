"""What every index promises, against a sort in plain Python."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.compression import compress
from models.ranking import ExactIndex, Index
from models.ranking.compressed import CompressedIndex

INDEXES: list[Callable[[Tensor], Index]] = [
    ExactIndex.build,
    lambda vectors: CompressedIndex(compress(vectors, "float32")),
]

pytestmark = pytest.mark.parametrize("build", INDEXES)


def vectors(rows: int, dim: int = 5) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(rows))


def expected(query: Tensor, table: Tensor, k: int, rows: set[int]) -> list[int]:
    scores = (table @ query).tolist()
    best = sorted(rows, key=lambda row: (-scores[row], row))[:k]
    return best + [-1] * (k - len(best))


@pytest.mark.parametrize(("size", "k"), [(1, 1), (7, 3), (7, 7), (7, 9), (211, 20)])
def test_best_first_and_filled_up(build: Callable[[Tensor], Index], size: int, k: int) -> None:
    table, queries = vectors(size), vectors(3)
    scores, rows = build(table).search(queries, k)
    assert rows.shape == scores.shape == (3, k)
    for line, query in enumerate(queries):
        assert rows[line].tolist() == expected(query, table, k, set(range(size)))
        found = rows[line] >= 0
        torch.testing.assert_close(scores[line][found], table[rows[line][found]] @ query)
        assert torch.isneginf(scores[line][~found]).all()


def test_allowed_and_excluded_together(build: Callable[[Tensor], Index]) -> None:
    table, queries = vectors(60), vectors(2)
    allowed = torch.tensor([50, 3, 7, 8, 21])
    excluded = [torch.tensor([7, 21, 59, -1]), torch.empty(0, dtype=torch.int64)]
    _, rows = build(table).search(queries, 4, allowed=allowed, excluded=excluded)
    assert rows[0].tolist() == expected(queries[0], table, 4, {50, 3, 8})
    assert rows[1].tolist() == expected(queries[1], table, 4, {50, 3, 7, 8, 21})


def test_nothing_allowed_answers_nothing(build: Callable[[Tensor], Index]) -> None:
    index = build(vectors(5))
    nothing = torch.empty(0, dtype=torch.int64)
    _, rows = index.search(vectors(1), 3, allowed=nothing, excluded=[torch.tensor([1])])
    assert rows.tolist() == [[-1, -1, -1]]


def test_an_empty_table_answers_nothing(build: Callable[[Tensor], Index]) -> None:
    _, rows = build(torch.empty(0, 5)).search(vectors(2), 3)
    assert rows.tolist() == [[-1] * 3] * 2


def test_no_queries_no_answers(build: Callable[[Tensor], Index]) -> None:
    scores, rows = build(vectors(5)).search(torch.empty(0, 5), 2)
    assert scores.shape == rows.shape == (0, 2)


def test_equal_scores_are_ordered_by_row(build: Callable[[Tensor], Index]) -> None:
    _, rows = build(torch.ones(6, 5)).search(torch.ones(1, 5), 6)
    assert rows.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_the_question_must_fit(build: Callable[[Tensor], Index]) -> None:
    index = build(vectors(5))
    with pytest.raises(ValueError, match="k:"):
        index.search(vectors(1), 0)
    with pytest.raises(ValueError, match="excluded"):
        index.search(vectors(2), 1, excluded=[torch.tensor([0])])
