"""Where a stream is cut into a base and periods."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BASE_SHARE = 0.6
"""Share of the events that the base takes where a stream has no periods of its own."""


def equal_bounds(time_ms: Ints, num_periods: int) -> Ints:
    """Bounds [T+2]: the base, then T periods of equal count; no instant is cut in two.

    Args:
        time_ms: of each event [E], ascending.
        num_periods: T.

    Raises:
        ValueError: too few events for so many periods.
    """
    total = len(time_ms)
    shares = BASE_SHARE + (1.0 - BASE_SHARE) * np.arange(num_periods) / num_periods
    cuts = np.round(shares * total).astype(np.int64)
    if total:
        cuts = np.searchsorted(time_ms, time_ms[np.maximum(cuts - 1, 0)], side="right")
    bounds = np.concatenate(([0], cuts, [total])).astype(np.int64)
    if (np.diff(bounds) < 1).any():
        raise ValueError(
            f"{total} positive events are too few for a base and {num_periods} periods"
        )
    return bounds


def own_bounds(period: Ints, num_periods: int | None) -> Ints:
    """Bounds [T+2] of the periods that a stream has itself.

    Args:
        period: the period of each event [E], in time order.
        num_periods: use the base and the first so many of them; None: all.

    Raises:
        ValueError: they overlap in time, or there is no more than one.
    """
    if len(period) == 0 or (np.diff(period) < 0).any():
        raise ValueError("the stream's own periods must be there and follow each other in time")
    names = np.unique(period)
    if len(names) < 2:
        raise ValueError("the stream's own periods must be a base and at least one more")
    last = len(names) if num_periods is None else min(len(names), num_periods + 1)
    cuts = [int(np.searchsorted(period, name, side="right")) for name in names[:last]]
    return np.asarray([0, *cuts], dtype=np.int64)
