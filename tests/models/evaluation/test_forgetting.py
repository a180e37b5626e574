"""Closed forms on a matrix made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.forgetting import (
    bwt,
    fwt,
    gap_closed,
    intransigence,
    max_forgetting,
)

# lines: after the base, after periods 1, 2, 3; columns: the probes of periods 1, 2, 3
R = np.array(
    [
        [0.10, 0.20, 0.30],
        [0.50, 0.25, 0.32],
        [0.60, 0.70, 0.40],
        [0.30, 0.65, 0.80],
    ]
)


def test_backward_transfer_is_the_end_less_just_after_learning() -> None:
    assert bwt(R) == pytest.approx(((0.30 - 0.50) + (0.65 - 0.70)) / 2)


def test_max_forgetting_is_the_best_day_less_the_end() -> None:
    assert max_forgetting(R) == pytest.approx(((0.60 - 0.30) + (0.70 - 0.65)) / 2)


def test_forgetting_counts_a_best_day_before_the_period_was_learned() -> None:
    early = R.copy()
    early[0, 1] = 0.95

    assert max_forgetting(early) == pytest.approx(((0.60 - 0.30) + (0.95 - 0.65)) / 2)


def test_forward_transfer_is_just_before_learning_less_the_base() -> None:
    assert fwt(R) == pytest.approx(((0.25 - 0.20) + (0.40 - 0.30)) / 2)


def test_intransigence_is_what_a_full_retrain_learns_more() -> None:
    full = R + 0.1
    full[3, 2] = 0.85

    assert intransigence(full, R) == pytest.approx((0.1 + 0.1 + 0.05) / 3)
    assert intransigence(R, R) == 0.0


def test_a_model_that_stands_still_forgets_and_transfers_nothing() -> None:
    still = np.tile([0.3, 0.2, 0.1], (4, 1))

    assert [float(figure(still)) for figure in (bwt, max_forgetting, fwt)] == [0.0, 0.0, 0.0]


def test_leading_axes_are_kept() -> None:
    many = np.stack([R, R + 0.05, R[:, ::-1]])

    for figure in (bwt, max_forgetting, fwt):
        assert figure(many).tolist() == pytest.approx([float(figure(part)) for part in many])
    assert intransigence(many, many).shape == (3,)


def test_a_period_without_probes_is_left_out() -> None:
    gap = R.copy()
    gap[:, 1] = np.nan

    assert bwt(gap) == pytest.approx(0.30 - 0.50)
    assert max_forgetting(gap) == pytest.approx(0.60 - 0.30)
    assert fwt(gap) == pytest.approx(0.40 - 0.30)


def test_one_period_says_nothing_of_forgetting() -> None:
    one = R[:2, :1]

    assert np.isnan([bwt(one), max_forgetting(one), fwt(one)]).all()
    assert intransigence(one + 0.1, one) == pytest.approx(0.1)


def test_the_share_of_the_gap() -> None:
    method, frozen, full = np.array([0.4, 0.2, 0.7]), np.array([0.2] * 3), np.array([0.6] * 3)

    assert gap_closed(method, frozen, full).tolist() == pytest.approx([0.5, 0.0, 1.25])


def test_no_gap_is_no_share() -> None:
    assert np.isnan(gap_closed(np.array(0.4), np.array(0.6), np.array(0.6)))
    assert np.isnan(gap_closed(np.array(0.4), np.array(0.6), np.array(0.5)))
