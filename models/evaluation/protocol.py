"""The protocol: for every period freeze the arm, ask, then let it learn.

Every event of a period is a question to the model of the period before; the user's history is live,
the weights are not. All items seen before the period are ranked, none are sampled, none left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.evaluation.arm import Arm, ArmKind, ArmSetup
from models.evaluation.questions import Asked, Questions
from models.evaluation.scores import Floats
from models.evaluation.stream import Stream

CHUNK = 256
"""Questions answered at once."""


@dataclass(slots=True)
class ArmRun:
    """What one arm did: ranks per target, so that every figure can still be taken from it."""

    name: str
    ranks: list[Floats] = field(default_factory=list)
    """[T] per period, in the order of its targets."""
    fit_s: float = 0.0
    update_s: list[float] = field(default_factory=list)
    answer_s: list[float] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The targets of each period, and every arm's ranks of them."""

    stream: Stream
    asked: list[Asked]
    runs: dict[str, ArmRun]


Progress = Callable[[str, str, float], None]
"""Told the arm, what it is doing, and the share of the whole run of the arm that is done."""


def evaluate(
    stream: Stream,
    kinds: Sequence[ArmKind],
    setup: ArmSetup,
    *,
    clock: Callable[[], float],
    stop_after: int | None = None,
    share: float = 1.0,
    progress: Progress = lambda arm, doing, done: None,
) -> Evaluation:
    """Run every arm over the stream; the failure of one does not lose the others.

    Args:
        clock: seconds, for the cost columns.
        stop_after: ask no more than the first so many periods.
        share: share of the users that are asked; all are learned from.
        progress: see `Progress`.
    """
    periods = range(1, min(stop_after or stream.num_periods, stream.num_periods) + 1)
    asked = [stream.asked(period, share=share, seed=setup.seed) for period in periods]
    runs = {}
    for kind in kinds:
        run = runs[kind.name] = ArmRun(kind.name)
        try:
            _run(kind.make(setup), run, stream, asked, clock, progress)
        except Exception as error:  # whatever breaks one arm, the others are still of use
            run.error = f"{type(error).__name__}: {error}"
    return Evaluation(stream, [targets for _, targets in asked], runs)


def _run(
    arm: Arm,
    run: ArmRun,
    stream: Stream,
    asked: Sequence[tuple[Questions, Asked]],
    clock: Callable[[], float],
    progress: Progress,
) -> None:
    share = 1.0 / (len(asked) + 1)
    progress(run.name, "base", 0.0)
    started = clock()
    arm.fit(stream.slice(0))
    run.fit_s = clock() - started
    for period, (questions, targets) in enumerate(asked, start=1):
        progress(run.name, f"period {period}", period * share)
        started = clock()
        run.ranks.append(_answer(arm, questions, targets))
        answered = clock()
        run.answer_s.append(answered - started)
        if period < len(asked):  # nothing is asked after the last
            arm.update(stream.slice(period))
            run.update_s.append(clock() - answered)
    run.costs = dict(arm.costs())
    progress(run.name, "done", 1.0)


def _answer(arm: Arm, questions: Questions, asked: Asked) -> Floats:
    """The ranks [T] of all targets of a period."""
    order = np.argsort(asked.question, kind="stable")
    sorted_questions = asked.question[order]
    ranks: npt.NDArray[np.float64] = np.full(len(asked), np.inf)
    for rows, chunk in questions.chunks(CHUNK):
        first, last = np.searchsorted(sorted_questions, [rows.start, rows.stop])
        mine = order[first:last]
        scores = arm.scores(chunk)
        ranks[mine] = scores.ranks(asked.question[mine] - rows.start, asked.target[mine])
    ranks[~asked.known] = np.inf
    return ranks
