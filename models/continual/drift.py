"""Drift: has the model become worse on what comes than it was? Asked of its prequential scores.

A detector is a pure function of a sequence of scores and keeps nothing from one call to the next,
so whoever has the same scores hears the same alarm. A rising score is no alarm: it is learning.

river takes seconds and some 90 MB to import, so that is left to the first question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

DETECTORS = ("none", "adwin", "page-hinkley")


@dataclass(frozen=True, slots=True)
class Score:
    """A window's prequential score.

    Attributes:
        value: recall, in [0, 1].
        targets: how many targets it is the mean of.
    """

    value: float
    targets: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a detector noticed: mean scores before and since the change that it sees."""

    before: float
    after: float


class Detector(Protocol):
    """What is asked of one."""

    def alarm(self, scores: Sequence[Score]) -> Alarm | None:
        """The alarm that the last of `scores` raises; None when it raises none.

        Args:
            scores: since the last alarm, oldest first.
        """
        ...


@dataclass(frozen=True, slots=True)
class Adwin:
    """ADWIN: a window of hits and misses that is cut where two parts of it differ.

    Its bound is one for single observations in [0, 1], so a score is told as what it is a mean of:
    `hits_per_window` hits and misses in its proportion, evenly mixed.

    Source: Bifet and Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SIAM
    2007, by river. We alarm on a fall alone.

    Attributes:
        delta: δ, the chance of a false cut at one comparison.
        hits_per_window: at most; a window of fewer targets has as many.
    """

    delta: float = 0.002
    hits_per_window: int = 100

    def alarm(self, scores: Sequence[Score]) -> Alarm | None:
        from river.drift import ADWIN

        detector, told, fell = ADWIN(delta=self.delta), 0, False
        for score in scores:
            fell = False
            for hit in spread(score.value, min(int(score.targets), self.hits_per_window)):
                before = detector.estimation
                detector.update(float(hit))
                fell |= detector.drift_detected and detector.estimation < before
                told += 1
        if not fell:
            return None
        return _split(scores, detector.width / max(told, 1))


@dataclass(frozen=True, slots=True)
class PageHinkley:
    """Page–Hinkley: scores below their running mean add up until they are too many.

    Source: Page, "Continuous Inspection Schemes", Biometrika 1954, by river.

    Attributes:
        tolerance: δ, a fall that is nothing.
        threshold: λ, the sum of falls beyond `tolerance` that raises the alarm.
        min_windows: scores that are looked at before the first alarm.
    """

    tolerance: float = 0.01
    threshold: float = 0.5
    min_windows: int = 10

    def alarm(self, scores: Sequence[Score]) -> Alarm | None:
        from river.drift import PageHinkley as Test

        detector = Test(
            min_instances=self.min_windows,
            delta=self.tolerance,
            threshold=self.threshold,
            mode="down",
        )
        raised = False
        for score in scores:
            detector.update(score.value)
            raised = detector.drift_detected
        return _split(scores, 1.0 / len(scores)) if raised else None


def spread(share: float, count: int) -> npt.NDArray[np.bool_]:
    """`count` hits and misses [n], round(share · count) of them hits, as even as can be."""
    hits = round(share * count)
    steps = np.arange(count + 1) * hits // max(count, 1)
    return np.diff(steps) > 0


def _split(scores: Sequence[Score], share: float) -> Alarm:
    """Means before and in the latest `share` of the scores, at least one on each side."""
    values = [score.value for score in scores]
    latest = min(max(round(share * len(values)), 1), max(len(values) - 1, 1))
    before, after = values[:-latest] or values, values[-latest:]
    return Alarm(float(np.mean(before)), float(np.mean(after)))
