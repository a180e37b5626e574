"""By how much arms differ from one of them, on the same questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.evaluation.bootstrap import ByUser, interval
from models.evaluation.forgetting import mean_of_periods
from models.evaluation.protocol import ArmRun

Difference = dict[str, float]
"""`value`, and the ends `low` and `high` of its interval."""


def differences(
    runs: Mapping[str, Sequence[ArmRun]], against: str, figures: Mapping[str, ByUser]
) -> dict[str, dict[str, Difference]]:
    """Every other arm's figures less those of `against`: means over periods and seeds.

    Pairs are of one seed, and users are drawn anew for both at once, so that what makes a question
    hard for all cancels out. Seeds are not drawn: the intervals say what other users would change.

    Args:
        runs: the finished runs of each arm, one for each seed.
        against: one of them.
        figures: by name.

    Returns:
        By arm and figure; an arm that shares no seed with `against` is left out.
    """
    reference = {run.seed: run for run in runs[against]}
    found = {}
    for name, done in runs.items():
        pairs = [(run, reference[run.seed]) for run in done if run.seed in reference]
        if name != against and pairs:
            found[name] = {key: _difference(pairs, figure) for key, figure in figures.items()}
    return found


def _difference(pairs: Sequence[tuple[ArmRun, ArmRun]], figure: ByUser) -> Difference:
    values, draws = [], []
    for run, other in pairs:
        values.append(mean_of_periods(figure.value(run.ranks) - figure.value(other.ranks)))
        both = figure.draws([run.ranks, other.ranks])
        draws.append(mean_of_periods(both[:, 0] - both[:, 1]))
    low, high = interval(np.mean(draws, axis=0))
    return {"value": float(np.mean(values)), "low": low, "high": high}
