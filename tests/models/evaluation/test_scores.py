from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.sparse import csr_matrix

from models.evaluation.scores import DenseScores, SharedScores, SparseScores

Floats = npt.NDArray[np.float64]


def _plain_rank(scores: Floats, target: int) -> float:
    """One plus those above plus half of the equals."""
    own = scores[target]
    return 1.0 + float((scores > own).sum()) + (float((scores == own).sum()) - 1.0) / 2.0


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


def test_shared_scores_rank_as_by_hand() -> None:
    ranks = SharedScores([3.0, 1.0, 3.0, 0.0]).ranks(np.zeros(5, int), np.array([0, 1, 2, 3, 9]))

    assert ranks.tolist() == [1.5, 3.0, 1.5, 4.0, np.inf]


def test_dense_scores_rank_as_counted_one_by_one(random: np.random.Generator) -> None:
    scores = random.integers(0, 9, size=(7, 30)).astype(np.float64)
    rows, targets = random.integers(0, 7, size=600), random.integers(0, 30, size=600)
    expected = [_plain_rank(scores[row], target) for row, target in zip(rows, targets, strict=True)]

    assert DenseScores(torch.from_numpy(scores)).ranks(rows, targets).tolist() == expected


def test_each_question_with_one_target_takes_the_short_way(random: np.random.Generator) -> None:
    scores = random.random((6, 30))
    targets = random.integers(0, 30, size=6)
    expected = [_plain_rank(scores[row], target) for row, target in enumerate(targets)]

    assert DenseScores(torch.from_numpy(scores)).ranks(np.arange(6), targets).tolist() == expected


def test_no_number_is_no_hit() -> None:
    """A network that broke must not look perfect because nothing compares above it."""
    broken = torch.full((1, 5), torch.nan)

    assert DenseScores(broken).ranks(np.array([0]), np.array([2])).tolist() == [np.inf]


def test_constant_scores_rank_in_the_middle() -> None:
    assert DenseScores(torch.zeros(1, 5)).ranks(np.array([0]), np.array([2])).tolist() == [3.0]


def test_sparse_scores_rank_as_the_same_scores_written_out(random: np.random.Generator) -> None:
    values = random.integers(0, 4, size=(8, 40)) * (random.random((8, 40)) < 0.4)
    rest = random.integers(0, 6, size=40).astype(np.float64)
    matrix = csr_matrix(values.astype(np.float64))
    rows, targets = random.integers(0, 8, size=500), random.integers(0, 40, size=500)
    written = values * 1_000.0 + rest
    expected = [
        _plain_rank(written[row], target) for row, target in zip(rows, targets, strict=True)
    ]
    sparse = SparseScores(matrix.indices, matrix.indptr, matrix.data, SharedScores(rest))

    assert sparse.ranks(rows, targets).tolist() == expected


def test_sparse_scores_miss_what_they_do_not_cover() -> None:
    none = np.empty(0, dtype=np.int64)
    scores = SparseScores(none, np.zeros(2, int), np.empty(0), SharedScores([2.0, 1.0]))

    assert scores.ranks(np.zeros(3, int), np.array([0, 1, 2])).tolist() == [1.0, 2.0, np.inf]


def test_a_limited_answer_is_that_over_the_first_items_alone(random: np.random.Generator) -> None:
    values = random.integers(0, 4, size=(8, 40)) * (random.random((8, 40)) < 0.4)
    rest = random.integers(0, 6, size=40).astype(np.float64)
    matrix = csr_matrix(values.astype(np.float64))
    rows, targets = random.integers(0, 8, size=300), random.integers(0, 40, size=300)
    sparse = SparseScores(matrix.indices, matrix.indptr, matrix.data, SharedScores(rest))
    written = values * 1_000.0 + rest
    dense = DenseScores(torch.from_numpy(written))
    expected = [
        _plain_rank(written[row, :25], target) if target < 25 else np.inf
        for row, target in zip(rows, targets, strict=True)
    ]
    shared = [_plain_rank(rest[:25], target) if target < 25 else np.inf for target in targets]

    assert sparse.limited(25).ranks(rows, targets).tolist() == expected
    assert dense.limited(25).ranks(rows, targets).tolist() == expected
    assert SharedScores(rest).limited(25).ranks(rows, targets).tolist() == shared
    assert sparse.limited(99).ranks(rows, targets).tolist() == sparse.ranks(rows, targets).tolist()
