"""The protocol: for every period freeze the arm, ask, then let it learn.

Every event of a period is a question to the model of the period before; the user's history is live,
the weights are not. All items seen before the period are ranked, none are sampled, none left out.
Of a stream with micro-windows all this is done by stretches: each is a question to the model of the
stretch before, and the ranks of a period's stretches are told as the period's.

Where the stream has probe users, the model of every period is also asked for their events of every
period, past and future, over the items seen up to that period's end: the matrix of `forgetting.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from traceback import format_exc
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.evaluation.arm import Arm, ArmKind, ArmSetup
from models.evaluation.asking import ask
from models.evaluation.periods import updates_of
from models.evaluation.questions import Asked, Questions
from models.evaluation.scores import Floats
from models.evaluation.stream import Slice, Stream

CHUNK = 256
"""Questions answered at once."""


@dataclass(slots=True)
class ArmRun:
    """What one arm did: ranks per target, so that every figure can still be taken from it."""

    name: str
    seed: int = 0
    ranks: list[Floats] = field(default_factory=list)
    """Per period, [targets] in their order."""
    probe_ranks: list[list[Floats]] = field(default_factory=list)
    """Those of the probes: the model after period i (0 is the base), by period j − 1."""
    fit_s: float = 0.0
    update_s: list[float] = field(default_factory=list)
    """Per period that was learned: all its updates, and what was observed between them."""
    answer_s: list[float] = field(default_factory=list)
    probe_s: list[float] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    """What broke it: one sentence."""
    traceback: str | None = None
    """Where it broke."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The targets of each period, and every arm's ranks of them."""

    stream: Stream
    asked: list[Asked]
    probed: list[Asked]
    """Those of the probe users; empty where there are none."""
    runs: dict[str, ArmRun]


Progress = Callable[[str, str, float], None]
"""Told the arm, what it is doing, and the share of the whole run of the arm that is done."""
Finished = Callable[[ArmRun, Sequence[Asked]], None]
"""Told each run that has come to its end, or broke, and the targets that it was asked."""
Ask = tuple[Questions, Asked]


class RunStore(Protocol):
    """Where finished runs are kept, so that an interrupted evaluation can go on."""

    def find(self, name: str, seed: int) -> ArmRun | None:
        """The run of this arm and seed under the same circumstances, if it is kept."""
        ...

    def keep(self, run: ArmRun) -> None:
        """Keep a run that has come to its end."""
        ...


def evaluate(
    stream: Stream,
    kinds: Sequence[ArmKind],
    setup: ArmSetup,
    *,
    clock: Callable[[], float],
    stop_after: int | None = None,
    share: float = 1.0,
    share_seed: int | None = None,
    store: RunStore | None = None,
    learned: Stream | None = None,
    progress: Progress = lambda arm, doing, done: None,
    finished: Finished = lambda run, asked: None,
) -> Evaluation:
    """Run every arm over the stream with one seed; the failure of one does not lose the others.

    A stream with probes decides alone who is never learned from: the share of probes in
    `setup.config` is taken as 0 then.

    Args:
        stream: what is asked; its micro-windows are those of the protocol.
        clock: seconds, for the cost columns.
        stop_after: ask no more than the first so many periods.
        share: share of the users that are asked; all but the probes are learned from.
        share_seed: draws them; None takes the setup's. Probe users are asked all, about forgetting.
        learned: what the arms learn from where that is not `stream` itself; see `noise.py`.
        store: finished runs are taken from here, and kept here.
        progress: see `Progress`.
        finished: see `Finished`.

    Raises:
        ValueError: the setup's updates do not divide the stream's micro-windows.
    """
    updates = updates_of(stream.micro_windows, setup.weights_windows)
    if stream.probe_share > 0.0:
        setup = replace(setup, config=replace(setup.config, probe_share=0.0))
    seed = setup.seed if share_seed is None else share_seed
    periods = range(1, min(stop_after or stream.num_periods, stream.num_periods) + 1)
    asked = [
        [ask(stretch, share=share, seed=seed) for stretch in stream.stretches(period)]
        for period in periods
    ]
    probed = [ask(stream.slice(period), probes=True) for period in periods if stream.probe.any()]
    targets = [Asked.joined([part for _, part in parts]) for parts in asked]
    runs = {}
    for kind in kinds:
        kept = None if store is None else store.find(kind.name, setup.seed)
        run = runs[kind.name] = kept or ArmRun(kind.name, setup.seed)
        if kept is not None:
            progress(kind.name, "kept from before", 1.0)
        else:
            try:
                trial = _Trial(
                    kind.make(setup), run, stream, learned or stream, updates, clock, progress
                )
                trial.run(asked, probed)
            except Exception as error:  # whatever breaks one arm, the others are still of use
                run.error, run.traceback = _sentence(error), format_exc()
            else:
                if store is not None:
                    store.keep(run)
        finished(run, targets)
    return Evaluation(stream, targets, [part for _, part in probed], runs)


def _sentence(error: Exception) -> str:
    """What an error says: a ValueError is raised with a sentence, any other needs its name."""
    named = f"{type(error).__name__}: {error}"
    return str(error) if isinstance(error, ValueError) and str(error) else named


@dataclass(frozen=True, slots=True)
class _Trial:
    """One arm on its way through the stream."""

    arm: Arm
    record: ArmRun
    stream: Stream
    learned: Stream
    updates: int
    """In a period."""
    clock: Callable[[], float]
    progress: Progress

    def run(self, asked: Sequence[Sequence[Ask]], probed: Sequence[Ask]) -> None:
        share = 1.0 / (len(asked) + 1)
        self.progress(self.record.name, "base", 0.0)
        started = self.clock()
        self.arm.fit(self.learned.slice(0))
        self.record.fit_s = self.clock() - started
        self._ask_probes(probed)
        for period, parts in enumerate(asked, start=1):
            # else nothing is asked after the last; a period of several stretches is learned whole
            learn = bool(probed) or len(parts) > 1 or period < len(asked)
            self._period(period, parts, share, learn=learn)
            if learn:
                self._ask_probes(probed)
        self.record.costs = dict(self.arm.costs())
        self.progress(self.record.name, "done", 1.0)

    def _period(self, period: int, parts: Sequence[Ask], share: float, *, learn: bool) -> None:
        """Ask stretch by stretch; each is observed, and every so many of them are an update."""
        stretches = self.learned.stretches(period)
        groups = {group.stop: group for group in self.learned.stretches(period, self.updates)}
        record = self.record
        record.ranks.append(np.empty(0))
        record.answer_s.append(0.0)
        if learn:
            record.update_s.append(0.0)
        for place, (questions, targets) in enumerate(parts):
            doing = f"period {period}" + (f".{place + 1}" if len(parts) > 1 else "")
            self.progress(record.name, doing, (period + place / len(parts)) * share)
            started = self.clock()
            ranks = _answer(self.arm, questions, targets)
            ranks[~targets.known] = np.inf
            record.ranks[-1] = np.concatenate((record.ranks[-1], ranks))
            answered = self.clock()
            record.answer_s[-1] += answered - started
            if learn:
                self._learn(stretches[place], groups)
                record.update_s[-1] += self.clock() - answered

    def _learn(self, stretch: Slice, groups: Mapping[int, Slice]) -> None:
        """Observe what was answered for, and learn the group of stretches that ends with it."""
        self.arm.observe(stretch)
        if stretch.stop in groups:
            self.arm.update(groups[stretch.stop])

    def _ask_probes(self, probed: Sequence[Ask]) -> None:
        """A line of the matrix: the arm as it stands, on the probes of every period."""
        if not probed:
            return
        started = self.clock()
        self.record.probe_ranks.append(
            [
                _answer(self.arm, questions, targets, self.stream.slice(period).num_items)
                for period, (questions, targets) in enumerate(probed, start=1)
            ]
        )
        self.record.probe_s.append(self.clock() - started)


def _answer(arm: Arm, questions: Questions, asked: Asked, num_items: int | None = None) -> Floats:
    """The ranks [T] of all targets of a period, among the first `num_items` items or all."""
    order = np.argsort(asked.question, kind="stable")
    sorted_questions = asked.question[order]
    ranks: npt.NDArray[np.float64] = np.full(len(asked), np.inf)
    for rows, chunk in questions.chunks(CHUNK):
        first, last = np.searchsorted(sorted_questions, [rows.start, rows.stop])
        mine = order[first:last]
        scores = arm.scores(chunk)
        if num_items is not None:
            scores = scores.limited(num_items)
        ranks[mine] = scores.ranks(asked.question[mine] - rows.start, asked.target[mine])
    return ranks
