"""From ranks to figures: per period, as means over periods, in both readings, and in slices.

*strict*: every event of a period is a target; one of an item not seen before is a miss.
*ader*: targets not seen before are left out, and so are those with nothing known in the history.

Source of the second: Mi, Lin and Faltings, 2020 (ADER, arXiv 2007.12000), section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import RecallByUser
from models.evaluation.continual import FULL, Continual
from models.evaluation.protocol import ArmRun, Evaluation
from models.evaluation.questions import Asked
from models.evaluation.seeds import means as seed_means
from models.evaluation.seeds import plain, spreads
from models.evaluation.slices import K, slices
from models.ranking.metrics import means

READINGS = ("strict", "ader")
Mask = npt.NDArray[np.bool_]
FIGURES = ("recall@10", "recall@20", "mrr@20", "ndcg@20")


SPREAD = (*FIGURES, "fit_s", "update_s", "update_total_s", "answer_s", "continual")
"""Figures whose spread over seeds is told."""


def report(evaluations: Sequence[Evaluation], reading: str = "strict") -> dict[str, Any]:
    """Everything measured, as JSON values; None where there is nothing to say.

    Figures are means over the seeds; those of each seed stand under `seeds`, their standard
    deviation under `spread`.

    Args:
        evaluations: of the same questions, one for each seed.
        reading: which of READINGS fills the arms' first lines; the other stands under `readings`.

    Raises:
        ValueError: no such reading.
    """
    if reading not in READINGS:
        raise ValueError(f"protocol: must be one of {', '.join(READINGS)}, got {reading!r}")
    first = evaluations[0]
    runs = {
        name: [e.runs[name] for e in evaluations if e.runs[name].error is None]
        for name in first.runs
    }
    runs = {name: done for name, done in runs.items() if done}
    continual = _continual(runs, first, reading)
    full = [run for run in runs.get(FULL, ()) if run.update_s]
    full_s = float(np.mean([np.mean(run.update_s) for run in full])) if full else float("nan")
    return plain(
        {
            "periods": [
                _period(first, number, asked) for number, asked in enumerate(first.asked, start=1)
            ],
            "arms": {
                name: _arm(done, first, reading, continual, full_s) for name, done in runs.items()
            },
            "failed": _failed(evaluations),
        }
    )


def _arm(
    runs: Sequence[ArmRun],
    evaluation: Evaluation,
    reading: str,
    continual: Continual,
    full_s: float,
) -> dict[str, Any]:
    """One arm: means over its seeds, their spread, and the seeds one by one."""
    seeds = [
        {"seed": run.seed, **_run(run, evaluation, reading), "continual": continual.of_run(run)}
        for run in runs
    ]
    figures = seed_means(seeds)
    del figures["seed"]
    figures["update_ratio"] = figures["update_s"] / full_s if full_s > 0.0 else float("nan")
    figures["continual"] = continual.of_runs(runs)
    return figures | {"spread": spreads(seeds, SPREAD), "seeds": seeds}


def _continual(
    runs: Mapping[str, Sequence[ArmRun]], evaluation: Evaluation, reading: str
) -> Continual:
    asked, probed = evaluation.asked, evaluation.probed
    return Continual(
        runs,
        RecallByUser(asked, _masks(asked, reading), k=K),
        RecallByUser(probed, _masks(probed, reading), k=K) if probed else None,
    )


def _failed(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """What broke, by arm; with several seeds it is said which."""
    failed: dict[str, str] = {}
    for evaluation in evaluations:
        for name, run in evaluation.runs.items():
            if run.error is not None:
                which = f"seed {run.seed}: " if len(evaluations) > 1 else ""
                before = f"{failed[name]}; " if name in failed else ""
                failed[name] = f"{before}{which}{run.error}"
    return failed


def curve(run: ArmRun, masks: list[Mask]) -> dict[str, list[float]]:
    """Each figure per period, over the targets that the period's mask [T] lets through."""
    kept = [ranks[mask] for ranks, mask in zip(run.ranks, masks, strict=True)]
    rows = [{**means(ranks, 10), **means(ranks, K)} for ranks in kept]
    return {name: [row[name] for row in rows] for name in FIGURES}


def _run(run: ArmRun, evaluation: Evaluation, reading: str) -> dict[str, Any]:
    curves = {name: curve(run, _masks(evaluation.asked, name)) for name in READINGS}
    return {
        **_mean(curves[reading]),
        "per_period": curves[reading],
        "readings": {
            name: {**_mean(figures), "per_period": figures} for name, figures in curves.items()
        },
        "slices": slices(run.ranks, evaluation.asked, _masks(evaluation.asked, reading)),
        "fit_s": run.fit_s,
        "update_s": float(np.mean(run.update_s)) if run.update_s else 0.0,
        "update_total_s": float(np.sum(run.update_s)),
        "answer_s": float(np.mean(run.answer_s)) if run.answer_s else 0.0,
        "costs": run.costs,
    }


def _masks(asked: Sequence[Asked], reading: str) -> list[Mask]:
    return [part.ader if reading == "ader" else np.ones(len(part), dtype=bool) for part in asked]


def _mean(figures: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: float(np.mean(values)) for name, values in figures.items()}


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
        "probe_targets": len(evaluation.probed[number - 1]) if evaluation.probed else 0,
        "known_items": stream.known(number)[1],
    }
