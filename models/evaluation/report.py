"""From ranks to figures: per period, as means over periods, in both readings, and in slices.

*strict*: every event of a period is a target; one of an item not seen before is a miss.
*ader*: targets not seen before are left out, and so are those with nothing known in the history.

Source of the second: Mi, Lin and Faltings, 2020 (ADER, arXiv 2007.12000), section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import MRR, RECALL, ByUser
from models.evaluation.continual import FULL, Continual
from models.evaluation.differences import differences
from models.evaluation.forgetting import mean_of_periods
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


def report(
    evaluations: Sequence[Evaluation], reading: str = "strict", *, against: str | None = None
) -> dict[str, Any]:
    """Everything measured, as JSON values; None where there is nothing to say.

    Figures are means over the seeds; those of each seed stand under `seeds`, their standard
    deviation under `spread`.

    Args:
        evaluations: of the same questions, one for each seed.
        reading: which of READINGS fills the arms' first lines; the other stands under `readings`.
        against: the arm that `differences` are taken to; none are where it did not run.

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
            "differences": _differences(runs, against, first, reading),
            "failed": _joined(evaluations, "; ", lambda run: run.error),
            "tracebacks": _joined(evaluations, "\n", lambda run: run.traceback),
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
        ByUser(asked, _masks(asked, reading)),
        ByUser(probed, _masks(probed, reading)) if probed else None,
    )


def _differences(
    runs: Mapping[str, Sequence[ArmRun]], against: str | None, evaluation: Evaluation, reading: str
) -> dict[str, Any] | None:
    if against is None or against not in runs:
        return None
    asked = evaluation.asked
    masks = _masks(asked, reading)
    tables = {
        name: ByUser(asked, masks, gain=gain)
        for name, gain in (("recall@20", RECALL), ("mrr@20", MRR))
    }
    return {"against": against, "arms": differences(runs, against, tables)}


def _joined(
    evaluations: Sequence[Evaluation], between: str, part: Callable[[ArmRun], str | None]
) -> dict[str, str]:
    """What is to be said of runs that broke, by arm; with several seeds it is said which."""
    said: dict[str, list[str]] = {}
    for evaluation in evaluations:
        for name, run in evaluation.runs.items():
            if (text := part(run)) is not None:
                which = f"seed {run.seed}: " if len(evaluations) > 1 else ""
                said.setdefault(name, []).append(f"{which}{text}")
    return {name: between.join(texts) for name, texts in said.items()}


def headline(run: ArmRun, asked: Sequence[Asked], reading: str) -> float:
    """Recall@20 of one run, mean over periods; NaN where nobody was asked anything."""
    return _mean(curve(run, _masks(asked, reading)))["recall@20"]


def curve(run: ArmRun, masks: list[Mask]) -> dict[str, list[float]]:
    """Each figure per period, over the targets that the period's mask [T] lets through.

    NaN for a period without any: nobody was asked, which is no miss.
    """
    kept = [ranks[mask] for ranks, mask in zip(run.ranks, masks, strict=True)]
    nan = float("nan")
    rows = [{**means(ranks, 10, of_none=nan), **means(ranks, K, of_none=nan)} for ranks in kept]
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
    return {name: float(mean_of_periods(np.asarray(part))) for name, part in figures.items()}


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
        "known_items": stream.known(start)[1],
    }
