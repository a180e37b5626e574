"""Where a stream is cut into a base and periods, and a period into stretches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BASE_SHARE = 0.6
"""Share of the events that the base takes where a stream has no periods of its own."""

EVERY = 0
"""For a number of stretches: one for every instant."""


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


def stretch_bounds(time_ms: Ints, bounds: Ints, number: int) -> Ints:
    """Bounds [T·number+2]: the base, then each period in `number` stretches of equal count.

    No instant is cut in two, but where a period begins within one.

    Args:
        time_ms: of each event [E], ascending.
        bounds: of base and periods [T+2].
        number: stretches of each period, 1 for the periods as they are. `EVERY` cuts after every
            instant; a period that has fewer of them than another ends in empty stretches.

    Raises:
        ValueError: a period has too few instants for so many.
    """
    if number == EVERY:
        return _instants(time_ms, bounds)
    if number < 1:
        raise ValueError(f"micro-windows: must be at least 1, got {number}")
    steps = np.arange(number) / number
    cuts = np.round(bounds[1:-1, None] + np.diff(bounds)[1:, None] * steps).astype(np.int64)
    cuts[:, 1:] = np.searchsorted(time_ms, time_ms[cuts[:, 1:] - 1], side="right")
    cuts = np.concatenate((bounds[:1], cuts.ravel(), bounds[-1:]))
    if (short := np.flatnonzero(np.diff(cuts)[1:] < 1)).size:
        raise ValueError(
            f"period {short[0] // number + 1} has too few events at different times for"
            f" {number} micro-windows"
        )
    return cuts


def _instants(time_ms: Ints, bounds: Ints) -> Ints:
    begins = 1 + np.flatnonzero(np.diff(time_ms))
    parts = [
        np.concatenate(([start], begins[(begins > start) & (begins < stop)]))
        for start, stop in pairwise(bounds[1:].tolist())
    ]
    number = max(map(len, parts))
    filled = [
        np.append(part, np.full(number - len(part), stop))
        for part, stop in zip(parts, bounds[2:], strict=True)
    ]
    return np.concatenate((bounds[:1], *filled, bounds[-1:]))


def updates_of(micro_windows: int, weights_windows: int | None) -> int:
    """How often the weights of a period's `micro_windows` are learned: after each when None.

    Raises:
        ValueError: so many updates do not divide them.
    """
    updates = micro_windows if weights_windows is None else weights_windows
    if updates < 1 or micro_windows % updates:
        raise ValueError(
            f"weights-windows: must divide the micro-windows, and {updates} does not divide"
            f" {micro_windows}"
        )
    return updates
