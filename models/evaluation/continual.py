"""What arms forget, and what share of the gap they close, with intervals over users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import CONFIDENCE, ByUser, interval
from models.evaluation.forgetting import (
    bwt,
    fwt,
    gap_closed,
    intransigence,
    max_forgetting,
    mean_of_periods,
)
from models.evaluation.protocol import ArmRun

Floats = npt.NDArray[np.float64]
Runs = Sequence[ArmRun]

FROZEN, FULL = "frozen", "full-retrain"
"""The arms that others are set against: the floor and the ceiling of learning on."""
FORGETTING = ("bwt", "max_forgetting", "fwt", "intransigence")


class Continual:
    """Figures of continual learning for arms that ran side by side.

    What cannot be said is NaN: forgetting without probes, intransigence without the ceiling, the
    share of the gap without floor and ceiling or where the ceiling is no higher.

    Args:
        runs: the finished runs of each arm, one for each seed.
        everybody: recall of all users that were asked, each by the model of the period before.
        probes: recall of probe users by any model; None where there are none.
    """

    def __init__(self, runs: Mapping[str, Runs], everybody: ByUser, probes: ByUser | None) -> None:
        self._everybody, self._probes = everybody, probes
        self._floor, self._ceiling = runs.get(FROZEN, ()), runs.get(FULL, ())
        self._drawn: dict[tuple[str, int], tuple[Floats, Floats | None]] = {}

    def of_run(self, run: ArmRun) -> dict[str, Any]:
        """Figures of one seed, set against floor and ceiling of the same seed."""
        floor = [self._point(other) for other in self._floor if other.seed == run.seed]
        ceiling = [self._point(other) for other in self._ceiling if other.seed == run.seed]
        own = self._point(run)
        figures = _figures([own], floor, ceiling)
        return {name: float(value) for name, value in figures.items()} | _matrix([own])

    def of_runs(self, runs: Runs) -> dict[str, Any]:
        """Means over seeds, each figure as {"value", "low", "high"}, and the matrix.

        Users are drawn anew, seeds are not: the intervals say what other users would change.
        """
        points = [[self._point(run) for run in side] for side in (runs, self._floor, self._ceiling)]
        draws = [[self._draws(run) for run in side] for side in (runs, self._floor, self._ceiling)]
        values, drawn = _figures(*points), _figures(*draws)
        figures: dict[str, Any] = {"confidence": CONFIDENCE}
        for name, value in values.items():
            low, high = interval(np.atleast_1d(drawn[name]))
            figures[name] = {"value": float(value), "low": low, "high": high}
        return figures | _matrix(points[0])

    def _point(self, run: ArmRun) -> tuple[Floats, Floats | None]:
        """Recall@20, mean over periods, and R [T+1, T]."""
        r = None
        if self._probes is not None:
            r = np.stack([self._probes.value(line) for line in run.probe_ranks])
        return mean_of_periods(self._everybody.value(run.ranks)), r

    def _draws(self, run: ArmRun) -> tuple[Floats, Floats | None]:
        """The same on each resample: [B] and [B, T+1, T]."""
        place = run.name, run.seed
        if place not in self._drawn:
            r = None if self._probes is None else self._probes.draws(run.probe_ranks)
            headline = mean_of_periods(self._everybody.draws([run.ranks])[:, 0])
            self._drawn[place] = headline, r
        return self._drawn[place]


Recalls = Sequence[tuple[Floats, Floats | None]]
"""Of each seed: headline recall [...] and R [..., T+1, T]."""


def _figures(runs: Recalls, floor: Recalls, ceiling: Recalls) -> dict[str, Floats]:
    """All figures [...] of an arm as means over its seeds; the gap's share is that of the means."""
    headline = _over([recall for recall, _ in runs])
    nothing = np.full(headline.shape, np.nan)
    found = dict.fromkeys(FORGETTING, nothing)
    own = [r for _, r in runs if r is not None]
    if own:
        found["bwt"] = _over([bwt(r) for r in own])
        found["max_forgetting"] = _over([max_forgetting(r) for r in own])
        found["fwt"] = _over([fwt(r) for r in own])
    if full := [r for _, r in ceiling if r is not None]:
        found["intransigence"] = intransigence(_over(full), _over(own))
    gap = nothing
    if floor and ceiling:
        sides = (_over([recall for recall, _ in side]) for side in (floor, ceiling))
        gap = gap_closed(headline, *sides)
    return {"recall@20": headline, "gap_closed": gap, **found}


def _matrix(runs: Recalls) -> dict[str, Any]:
    """R, mean over seeds, as lists: a line for each model, from the base on."""
    own = [r for _, r in runs if r is not None]
    return {"matrix": _over(own).tolist()} if own else {}


def _over(seeds: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean(np.stack(seeds), axis=0))
