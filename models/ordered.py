"""Arrays in order: what is new in one, and where others stand in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]


def are_first(ordered: npt.NDArray[Any]) -> Bools:
    """Which [n] differ from the one before."""
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def among(
    ordered: npt.NDArray[Any], wanted: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], Bools]:
    """Where those wanted [n] stand, and which [n] do; the place of others means nothing."""
    place = np.searchsorted(ordered, wanted)
    there = place < len(ordered)
    there[there] = ordered[place[there]] == wanted[there]
    return place, there
