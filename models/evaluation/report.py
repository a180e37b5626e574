"""From ranks to figures: per period, as means over periods, in both readings, and in slices.

*strict*: every event of a period is a target; one of an item not seen before is a miss.
*ader*: targets not seen before are left out, and so are those with nothing known in the history.

Source of the second: Mi, Lin and Faltings, 2020 (ADER, arXiv 2007.12000), section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.protocol import ArmRun, Evaluation
from models.evaluation.questions import Asked
from models.ranking.metrics import means

READINGS = ("strict", "ader")
Mask = npt.NDArray[np.bool_]
K = 20
FIGURES = ("recall@10", "recall@20", "mrr@20", "ndcg@20")


def report(evaluation: Evaluation, reading: str = "strict") -> dict[str, Any]:
    """Everything measured, as JSON values.

    Args:
        reading: which of READINGS fills the arms' first lines; the other stands under `readings`.

    Raises:
        ValueError: no such reading.
    """
    if reading not in READINGS:
        raise ValueError(f"protocol: must be one of {', '.join(READINGS)}, got {reading!r}")
    return {
        "periods": [
            _period(evaluation, number, asked)
            for number, asked in enumerate(evaluation.asked, start=1)
        ],
        "arms": {
            name: _arm(run, evaluation, reading)
            for name, run in evaluation.runs.items()
            if run.error is None
        },
        "failed": {name: run.error for name, run in evaluation.runs.items() if run.error},
    }


def curve(run: ArmRun, evaluation: Evaluation, masks: list[Mask]) -> dict[str, list[float]]:
    """Each figure per period, over the targets that the period's mask [T] lets through."""
    kept = [ranks[mask] for ranks, mask in zip(run.ranks, masks, strict=True)]
    rows = [{**means(ranks, 10), **means(ranks, K)} for ranks in kept]
    return {name: [row[name] for row in rows] for name in FIGURES}


def _arm(run: ArmRun, evaluation: Evaluation, reading: str) -> dict[str, Any]:
    curves = {name: curve(run, evaluation, _masks(evaluation, name)) for name in READINGS}
    return {
        **_mean(curves[reading]),
        "per_period": curves[reading],
        "readings": {
            name: {**_mean(figures), "per_period": figures} for name, figures in curves.items()
        },
        "slices": _slices(run, evaluation, reading),
        "fit_s": run.fit_s,
        "update_s": float(np.mean(run.update_s)) if run.update_s else 0.0,
        "answer_s": float(np.mean(run.answer_s)) if run.answer_s else 0.0,
        "costs": run.costs,
    }


def _masks(evaluation: Evaluation, reading: str) -> list[Mask]:
    return [
        asked.ader if reading == "ader" else np.ones(len(asked), dtype=bool)
        for asked in evaluation.asked
    ]


def _mean(figures: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: float(np.mean(values)) for name, values in figures.items()}


def _slices(run: ArmRun, evaluation: Evaluation, reading: str) -> dict[str, dict[str, float]]:
    """Recall@20 of parts of the targets, all periods pooled, with their number."""
    ranks = np.concatenate(run.ranks)
    asked = evaluation.asked
    counted = np.concatenate(_masks(evaluation, reading))
    parts = {
        "new_items": ~np.concatenate([part.known for part in asked]),
        "new_users": np.concatenate([part.new_user for part in asked]),
        "returning_items": np.concatenate([part.returning for part in asked]),
    }
    return {
        name: {
            "recall@20": (found := means(ranks[counted & part], K))["recall@20"],
            "n": found["n"],
        }
        for name, part in parts.items()
    }


def _period(evaluation: Evaluation, number: int, asked: Asked) -> dict[str, Any]:
    stream = evaluation.stream
    start, stop = int(stream.bounds[number]), int(stream.bounds[number + 1])
    return {
        "period": number,
        "events": stop - start,
        "from_ms": int(stream.time_ms[start]),
        "to_ms": int(stream.time_ms[stop - 1]),
        "targets": len(asked),
        "targets_ader": int(asked.ader.sum()),
        "known_items": stream.known(number)[1],
    }
