"""Figures of several seeds as one: means, and how far the seeds lie apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Summary = Callable[[npt.NDArray[np.float64]], float]


def means(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of every number, place by place, of nested figures of the same shape.

    Whole numbers that are the same for every seed stay whole numbers; NaN is passed over.
    """
    return {name: _joined([part[name] for part in figures], _mean) for name in figures[0]}


def spreads(figures: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The standard deviation over seeds (n − 1) of the figures `names`; NaN for a single seed."""
    return {name: _joined([part[name] for part in figures], _spread) for name in names}


def plain(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The same with None for NaN, which JSON does not know."""
    return {name: _plain(part) for name, part in figures.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _joined(values: list[Any], summary: Summary) -> Any:
    first = values[0]
    if isinstance(first, Mapping):
        return {name: _joined([part[name] for part in values], summary) for name in first}
    if isinstance(first, list):
        return [_joined(list(places), summary) for places in zip(*values, strict=True)]
    if isinstance(first, int) and summary is _mean and all(part == first for part in values):
        return first
    return summary(np.asarray(values, dtype=np.float64))


def _mean(values: npt.NDArray[np.float64]) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _spread(values: npt.NDArray[np.float64]) -> float:
    there = values[np.isfinite(values)]
    return float(there.std(ddof=1)) if len(there) > 1 else float("nan")
