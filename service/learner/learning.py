"""A window's lesson: score the active model on it, learn it, judge the candidate.

Nothing here is written anywhere. Given the same tip, window and draw it comes out the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import structlog

from models.continual.gate import REFUSED, Verdict, judge
from models.continual.prequential import prequential
from models.continual.state import LearningState
from models.continual.window import Candidate
from models.interactions import Event, Sample
from service.domain.versions import Head, WindowRecord
from service.learner.drift import Drift
from service.learner.metrics import lesson_metrics, old_change
from service.learner.opening import Material
from service.learner.states import States
from service.learner.steps import JUDGED, LEARNED, SCORED, Reached
from service.learner.tutor import Tutor

log = structlog.get_logger()

Progress = Callable[[float], None]


class Abandoned(Exception):
    """The process was told to stop while it learned; the next start does the window again."""


class LearnWindow(Protocol):
    """`models.continual.window.learn_window`, or what a fault test puts in its place."""

    def __call__(
        self,
        parent: LearningState,
        events: Sequence[Event],
        *,
        seed: int,
        draw: Sequence[Sample],
        device: str,
        rate: float,
        progress: Progress | None,
    ) -> Candidate: ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """What came of a window, or of a full retrain."""

    state: LearningState | None
    """None when learning itself failed; such a lesson is refused."""
    admitted: Sequence[Sample]
    """Samples trained for the first time, for the replay buffer once this is committed."""
    accepted: bool
    gate: dict[str, Any]
    champion: int | None
    """The best version of the day after this one; None is this one."""
    metrics: dict[str, Any]


class Learning:
    """Turns windows into lessons.

    Args:
        states: versions to learn from and to be judged against.
        device: where torch computes, `cpu` or `cuda`.
        learn: the update itself.
        drift: what watches the scores.
        tutor: teaches the mixing.
        reached: called at each named step.
    """

    def __init__(
        self,
        states: States,
        device: str,
        learn: LearnWindow,
        drift: Drift,
        tutor: Tutor,
        reached: Reached,
    ) -> None:
        self._states = states
        self._device = device
        self._learn = learn
        self._drift = drift
        self._tutor = tutor
        self._reached = reached

    def lesson(
        self,
        head: Head,
        window: WindowRecord,
        material: Material,
        champion: int | None,
        progress: Progress,
    ) -> Lesson:
        """What `window` teaches the tip.

        Args:
            champion: the version that the candidate is held against beside the active one.
            progress: told the share of the training that is done; may raise `Abandoned`.
        """
        tip = self._states.to_learn_from(head.tip)
        active = self._states.as_it_was(head.active)
        scores = prequential(replace(active, memory=tip.memory), material.events)
        metrics = lesson_metrics(window, material, scores, self._drift.judged(head, scores))
        self._reached(SCORED)
        began = time.perf_counter()
        try:
            candidate = self.learn(tip, window, material, progress)
        except Abandoned:
            raise
        except Exception as error:  # whatever a window does to the models, it may not block the log
            log.exception("learning failed; the window is refused", window=window.window_id)
            return _refused(f"Learning failed: {type(error).__name__}: {error}"[:500], metrics)
        update_s = time.perf_counter() - began
        state, mixing = self._tutor.taught(tip, candidate.state, material.lessons, window.seed)
        self._reached(LEARNED)
        verdict = self.judge(head, state, candidate.holdout, champion, window.seed)
        self._reached(JUDGED)
        return Lesson(
            state=state,
            admitted=candidate.admitted,
            accepted=verdict.accepted,
            gate=asdict(verdict),
            champion=_best(head.active, champion, verdict),
            metrics=metrics
            | {
                "update": candidate.report.as_dict(),
                "update_s": round(update_s, 3),
                "positions_per_s": round(candidate.report.positions / max(update_s, 1e-9), 1),
                "old_change": old_change(verdict),
                **mixing,
            },
        )

    def learn(
        self, parent: LearningState, window: WindowRecord, material: Material, progress: Progress
    ) -> Candidate:
        """The window's update alone, from `parent`, with its recorded seed, draw and rate."""
        return self._learn(
            parent,
            material.events,
            seed=window.seed,
            draw=material.draw,
            device=self._device,
            rate=window.rate,
            progress=progress,
        )

    def judge(
        self,
        head: Head,
        candidate: LearningState,
        holdout: Sequence[Sample],
        champion: int | None,
        seed: int,
    ) -> Verdict:
        """The gate's verdict on `candidate`."""
        return judge(
            self._states.as_it_was(head.active),
            candidate,
            best=None if champion is None else self._states.as_it_was(champion),
            holdout=holdout,
            seed=seed,
        )


def _best(active: int, champion: int | None, verdict: Verdict) -> int | None:
    """Who is best on the old data now: the champion so far keeps its place until it is beaten."""
    tested = verdict.old if verdict.best is None else verdict.best["old"]
    if tested.get("difference", 0.0) < 0.0:
        return active if champion is None else champion
    return None


def given_up(window: WindowRecord, deaths: int) -> Lesson:
    """The lesson of a window that no learner survived: refused, not tried again, not even read."""
    reason = f"{deaths} learners have died in this window; it is passed by."
    return _refused(reason, lesson_metrics(window, Material.unread(), {}, {}))


def _refused(reason: str, metrics: dict[str, Any]) -> Lesson:
    verdict = Verdict(False, REFUSED, reason, {}, {}, None)
    return Lesson(None, (), False, asdict(verdict), None, metrics)
