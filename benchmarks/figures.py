"""What a benchmark hands back, and how it is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    `ratio` is the number over its reference, which was measured in the same run and is named by
    `reference`; None for the reference itself and for figures that have none.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    reference: str = ""

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:8.2f} × {self.reference}"
        return f"{self.name:<44} {self.value:>14,.4g} {self.unit:<14}{ratio}".rstrip()


def medians(*steps: Callable[[], object], rounds: int = 9) -> list[float]:
    """Median seconds of each step, over interleaved rounds after one that does not count."""
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds + 1):
        for step, taken in zip(steps, seconds, strict=True):
            before = time.perf_counter()
            step()
            taken.append(time.perf_counter() - before)
    return [statistics.median(taken[1:]) for taken in seconds]
