"""Arms that train on old events again: the ceiling that learning on is measured by."""

from __future__ import annotations

import dataclasses

import torch

from models.continual.memory import Probes, StreamMemory
from models.continual.state import LearningState
from models.evaluation.arm import ArmSetup
from models.evaluation.costs import event_bytes
from models.evaluation.learning import Learner
from models.evaluation.stream import Slice
from models.interactions import Histories


class FullRetrain(Learner):
    """After each period fresh weights, trained `full_epochs` times on everything so far.

    The base is shared with the other learning arms. Nobody is held out (but by `patience`): the
    most that can be had from the same events and the same network. It starts anew with each update,
    so with several in a period it costs as many times more; the setup's window is not looked at.
    """

    def __init__(self, setup: ArmSetup) -> None:
        super().__init__(setup, methods=())
        self._retrain = dataclasses.replace(
            self.config, epochs=self.config.full_epochs, holdout_share=0.0
        )

    def fit(self, base: Slice) -> None:
        super().fit(base)
        self._kept = base

    def update(self, period: Slice) -> None:
        self._learn_again(LearningState.initial(self._retrain), period.so_far, period)

    def _learn_again(self, start: LearningState, events: Slice, period: Slice) -> None:
        """Learn `events` from `start`; those before `period` are counted as replayed."""
        self._take(self._window(start, events, draw=(), seed=period.start))
        self._events_replayed += len(events.rows) - len(period.rows)
        self._kept = events
        self._freeze(period)

    def _bytes_kept(self) -> int:
        """The events that the next update goes back to."""
        return event_bytes(self._kept.events(self._setup.seed))


class WarmRetrain(FullRetrain):
    """After each period everything so far, from the current weights, `epochs` times."""

    def __init__(self, setup: ArmSetup) -> None:
        super().__init__(setup)
        self._retrain = dataclasses.replace(self._retrain, epochs=self.config.epochs)

    def update(self, period: Slice) -> None:
        self._learn_again(self._unread(), period.so_far, period)

    def _unread(self) -> LearningState:
        """The current weights with a memory that has not met any event."""
        memory = StreamMemory(
            Histories(self._retrain.max_history),
            Probes(self._retrain.probe_size, self._retrain.probe_bands),
        )
        counts = torch.zeros_like(self._state.counts)
        return dataclasses.replace(self._state, config=self._retrain, memory=memory, counts=counts)


class LastPeriod(FullRetrain):
    """After each period fresh weights, trained `full_epochs` times on that period alone.

    With several updates in a period, on what the last of them brought. An item that it does not
    hold is not ranked.
    """

    def update(self, period: Slice) -> None:
        self._learn_again(LearningState.initial(self._retrain), period, period)

    def _bytes_kept(self) -> int:
        return 0
