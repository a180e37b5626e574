"""Recall by user and its intervals, against small cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.bootstrap import RESAMPLES, ByUser, Floats, interval, resampled
from tests.models.evaluation.asked import asked_of


def _by_user(*users: list[int], masks: list[list[bool]] | None = None) -> ByUser:
    asked = [asked_of(part) for part in users]
    chosen = [np.ones(len(part), dtype=bool) for part in users]
    if masks is not None:
        chosen = [np.asarray(mask, dtype=bool) for mask in masks]
    return ByUser(asked, chosen)


def _ranks(*periods: list[float]) -> list[Floats]:
    return [np.asarray(ranks, dtype=np.float64) for ranks in periods]


def test_recall_counts_targets_within_k_and_masks() -> None:
    everything = _by_user([3, 3, 9], [9, 5])
    masked = _by_user([3, 3, 9], [9, 5], masks=[[True, False, True], [True, True]])
    ranks = _ranks([1, 21, 20], [np.inf, 30])

    assert everything.value(ranks).tolist() == pytest.approx([2 / 3, 0.0])
    assert masked.value(ranks).tolist() == pytest.approx([1.0, 0.0])


def test_a_period_where_nobody_is_asked_has_no_recall() -> None:
    by_user = _by_user([1], [])

    assert by_user.value(_ranks([1], []))[0] == 1.0
    assert np.isnan(by_user.value(_ranks([1], []))[1])
    assert np.isnan(by_user.draws([_ranks([1], [])])[:, 0, 1]).all()


def test_users_are_drawn_with_all_their_targets() -> None:
    """Two users, one with three hits and one with a miss: recall is 0, 3/4 or 1 in every draw."""
    draws = _by_user([1, 1, 1, 2]).draws([_ranks([1, 1, 1, 99])])[:, 0, 0]
    shares = [float(np.isclose(draws, value).mean()) for value in (0.0, 0.75, 1.0)]

    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.05)


def test_the_spread_of_draws_is_the_standard_error_over_users() -> None:
    random = np.random.default_rng(0)
    hits = random.random(400) < 0.3
    draws = _by_user(list(range(400))).draws([_ranks(np.where(hits, 1.0, 99.0).tolist())])

    assert draws.std() == pytest.approx(np.sqrt(hits.var() / 400), rel=0.1)
    low, high = interval(draws[:, 0, 0])
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(hits.var() / 400), rel=0.12)


def test_draws_are_paired_so_that_a_constant_difference_has_no_width() -> None:
    by_user = _by_user([1, 2, 3, 4], [1, 2, 3, 4])
    better, worse = _ranks([1, 1, 99, 1], [1] * 4), _ranks([1, 1, 99, 1], [99] * 4)
    draws = by_user.draws([better, worse])

    assert draws.shape == (RESAMPLES, 2, 2)
    assert draws[:, 0, 0].std() > 0.0
    assert np.array_equal(draws[:, 0, 0], draws[:, 1, 0]), "within a call"
    assert np.array_equal(by_user.draws([worse])[:, 0], draws[:, 1]), "and from call to call"


def test_blocks_do_not_change_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(1).random((30, 4))
    whole = resampled(table, seed=2)
    monkeypatch.setattr("models.evaluation.bootstrap.AT_ONCE", 70)

    assert resampled(table, seed=2) == pytest.approx(whole)
    assert not np.allclose(resampled(table, seed=3), whole)


def test_what_some_draws_cannot_say_has_no_interval() -> None:
    assert np.isnan(interval(np.array([0.1, np.nan, 0.3]))).all()
    assert interval(np.array([0.5, 0.5])) == (0.5, 0.5)
