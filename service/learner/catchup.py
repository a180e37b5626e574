"""A full retrain's weights, brought up to date and judged.

Its child trained on the archive up to a position; the windows that were learned since are learned
once more on top, with their recorded seeds and draws, by the same function.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace

from models.config import LearningConfig
from models.continual.state import LearningState
from service.domain.versions import Head, WindowStatus
from service.errors import CorruptCheckpoint
from service.learner.child import Run
from service.learner.learning import Learning, Lesson, Progress
from service.learner.opening import Opening
from service.learner.states import States
from service.learner.stores import Stores
from service.storage.checkpoints import CheckpointStore


class CatchUp:
    """Turns a full retrain that is trained into a lesson.

    Args:
        stores: where windows and their draws are kept.
        states: the tip's mixing is taken over, which the archive cannot teach again.
        opening: reads back what windows hold.
        learning: the update and the gate.
        config: what it was trained with.
    """

    def __init__(
        self,
        stores: Stores,
        states: States,
        opening: Opening,
        learning: Learning,
        config: LearningConfig,
    ) -> None:
        self._stores = stores
        self._states = states
        self._opening = opening
        self._learning = learning
        self._config = config

    def lesson(self, run: Run, head: Head, champion: int | None, progress: Progress) -> Lesson:
        """The child's weights at the head's position, judged against the active version.

        Args:
            progress: told the share done of each window; may raise `Abandoned`.

        Raises:
            CorruptCheckpoint: the child's files are not whole.
            CorruptEntry: the draw of a window since is gone.
        """
        state, events = self._trained(run)
        learned = self._stores.registry.windows(run.position, (WindowStatus.LEARNED,))
        windows = [window for window in learned if window.end <= head.position]
        for window in windows:
            material = self._opening.material(window)
            state = self._learning.learn(state, window, material, progress).state
        tip = self._states.as_it_was(head.tip)
        state = replace(state, mixing=tip.mixing, mixing_until=tip.mixing_until)
        verdict = self._learning.judge(head, state, state.memory.pending, champion, run.seed)
        return Lesson(
            state=state,
            admitted=(),
            accepted=verdict.accepted,
            gate=asdict(verdict),
            champion=None,
            metrics={
                "events": events + sum(window.events for window in windows),
                "seed": run.seed,
                "trained_until": str(run.position),
                "caught_up_windows": len(windows),
                "update_s": round(time.monotonic() - run.began_s, 3),
            },
        )

    def _trained(self, run: Run) -> tuple[LearningState, int]:
        result = run.child.result()
        if result is None:
            raise CorruptCheckpoint("the full retrain left no result")
        bundle = CheckpointStore(run.child.work_dir).load(0, result.digest)
        return LearningState.restore(bundle, self._config), result.events
