"""What a method forgot and what it never learned: figures of the matrix R, in closed form.

R[i, j] is Recall@K of the model after period i (0 is the base) on the probes of period j, over the
items known at j: those seen up to its end. As an array it is [..., T+1, T]; its last axis holds
periods 1 … T. Leading axes, such as resamples, are kept. Means leave out periods without probes
(NaN in R), and are NaN where none is left.

Sources: Lopez-Paz and Ranzato, 2017 (arXiv 1706.08840), section 2, for backward and forward
transfer; Chaudhry et al., 2018 (arXiv 1801.10112), section 3, for forgetting and intransigence.
Deviations stand with each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def bwt(r: Floats) -> Floats:
    """Backward transfer: the mean over j < T of R[T, j] − R[j, j]. Below zero: forgotten."""
    return mean_of_periods((r[..., -1, :] - learned(r))[..., :-1])


def max_forgetting(r: Floats) -> Floats:
    """The mean over j < T of max R[·, j] − R[T, j]: what is lost since each period's best day.

    Deviation: the best is taken over all i, the last one too, so that it is never below zero.
    """
    return mean_of_periods((r.max(axis=-2) - r[..., -1, :])[..., :-1])


def fwt(r: Floats) -> Floats:
    """Forward transfer: the mean over j of R[j−1, j] − R[0, j], from the second period on.

    For the first period it is zero by definition, which says nothing. Deviation: what is taken
    off is the model after the base, not a random one.
    """
    ahead = np.diagonal(r[..., :-1, :], axis1=-2, axis2=-1)
    return mean_of_periods((ahead - r[..., 0, :])[..., 1:])


def intransigence(full: Floats, r: Floats) -> Floats:
    """The mean over j of R[j, j] of a full retrain − R[j, j]: what was not even learned."""
    return mean_of_periods(learned(full) - learned(r))


def gap_closed(method: Floats, frozen: Floats, full: Floats) -> Floats:
    """(method − frozen) / (full retrain − frozen); NaN where a full retrain gains nothing."""
    gap = np.asarray(full - frozen, dtype=np.float64)
    share: Floats = np.full(gap.shape, np.nan)
    np.divide(method - frozen, gap, out=share, where=gap > 0)
    return share


def learned(r: Floats) -> Floats:
    """R[j, j] [..., T]: each period's probes, asked just after the period was learned."""
    return np.diagonal(r[..., 1:, :], axis1=-2, axis2=-1)


def mean_of_periods(values: Floats) -> Floats:
    """The mean over the last axis without periods where nobody was asked (NaN)."""
    there = np.isfinite(values)
    total, count = np.where(there, values, 0.0).sum(axis=-1), there.sum(axis=-1)
    mean: Floats = np.full(count.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
