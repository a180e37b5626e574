"""Metrics by hand, ranks against a full sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.ranking.metrics import means, mrr, ndcg, recall, target_ranks

RANKS = np.asarray([1.0, 2.0, 20.0, 21.0, np.inf])


def test_metrics_by_hand() -> None:
    assert recall(RANKS, 20).tolist() == [1, 1, 1, 0, 0]
    assert mrr(RANKS, 20).tolist() == [1, 0.5, 0.05, 0, 0]
    assert ndcg(RANKS, 20) == pytest.approx([1, 1 / np.log2(3), 1 / np.log2(21), 0, 0])


def test_means_say_how_many_and_survive_none() -> None:
    assert means(RANKS, 20)["recall@20"] == pytest.approx(0.6)
    assert means(RANKS, 20)["n"] == 5
    assert means(np.empty(0), 20) == {"recall@20": 0, "mrr@20": 0, "ndcg@20": 0, "n": 0}


def test_ranks_agree_with_a_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.ranking.metrics._SCORES_AT_ONCE", 50)
    generator = torch.Generator().manual_seed(0)
    queries, vectors = (
        torch.randn(13, 4, generator=generator),
        torch.randn(29, 4, generator=generator),
    )
    targets = torch.randint(29, (13,), generator=generator)
    targets[3] = -1
    order = (queries @ vectors.T).argsort(dim=1, descending=True)
    expected = [
        np.inf if t < 0 else 1.0 + order[line].tolist().index(t)
        for line, t in enumerate(targets.tolist())
    ]
    assert target_ranks(queries, vectors, targets).tolist() == expected


def test_ties_count_against_the_target_and_no_number_is_no_rank() -> None:
    vectors = torch.ones(10, 2)
    assert target_ranks(torch.ones(1, 2), vectors, torch.tensor([0])).tolist() == [10]
    broken = torch.full((1, 2), torch.nan)
    assert target_ranks(broken, vectors, torch.tensor([0])).tolist() == [np.inf]
