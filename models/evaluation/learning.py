"""Arms that learn: the service's own update code, with a replay buffer in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from models.continual.buffer import BottomK
from models.continual.replay import draw_size
from models.continual.state import LearningState
from models.continual.window import Candidate, learn_window
from models.evaluation.arm import Arm, ArmSetup
from models.evaluation.questions import Questions
from models.evaluation.scores import Scores, factored
from models.evaluation.stream import Slice
from models.evaluation.version import Version
from models.interactions import Sample
from models.registry import methods_with

ENOUGH = 500
"""Events of the base from which on a type has a head."""


class Learner(Arm):
    """What the learner process does between two publications, without gate, log and stores.

    The base is learned as one window with the passes of a full retrain (`full_epochs`), every
    period as the service learns a window (`epochs`, replay, penalties), or as several where
    `window` is set. Micro-windows are nothing to it but through `update`.
    Arms that differ in methods alone share the base: no method does anything before the first
    update. It is consolidated under every method that works with the encoder, so that each arm
    finds what its own remembers. Nobody is held out of an update of a whole period: no gate judges
    here, and a tenth of the newest users, a period late, is not what the service lacks, whose
    windows are short.

    Args:
        setup: how to build it; `setup.config` is used as it is.
        methods: those against forgetting, in place of the configured ones.
        parameters: of these methods, over the configured ones.
        replay_share: the replay buffer's size as a share of the samples that the base was learned
            from; None is the configured `replay_size`.
    """

    def __init__(
        self,
        setup: ArmSetup,
        methods: tuple[str, ...] | None = None,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        replay_share: float | None = None,
    ) -> None:
        self._setup = setup
        config = dataclasses.replace(
            setup.config,
            seed=setup.seed,
            holdout_share=setup.config.holdout_share if setup.window else 0.0,
        )
        chosen = config.methods if methods is None else methods
        self.config = dataclasses.replace(
            config, methods=chosen, parameters={**config.parameters, **(parameters or {})}
        )
        self._base = dataclasses.replace(config, methods=methods_with(config.encoder))
        self._replay_share = replay_share
        self._positions = self._replayed = self._events_replayed = 0

    def fit(self, base: Slice) -> None:
        which = (base, self._base)
        first = self._setup.bases.get(which)
        if not isinstance(first, Candidate):
            longer = dataclasses.replace(self._base, epochs=self._base.full_epochs)
            first = self._window(LearningState.initial(longer), base, draw=())
            self._setup.bases[which] = first
        self._state = LearningState.restore(first.state.export(), self.config)
        self._buffer = BottomK(self._room(len(first.admitted)), self.config.replay_bytes)
        self._buffer.admit(first.admitted)
        self._freeze(base)

    def _room(self, samples: int) -> int:
        """Samples that the replay buffer keeps, where the base has so many."""
        if "replay" not in self.config.methods:
            return 0
        if self._replay_share is None:
            return self.config.replay_size
        return max(1, round(self._replay_share * samples))

    def update(self, period: Slice) -> None:
        for window in period.windows(self._setup.window):
            self._learn(window)
        self._freeze(period)

    def _learn(self, window: Slice) -> None:
        """One window, as the learner process treats it: draw, learn, admit."""
        events = window.events(self._setup.seed)
        draw = self._buffer.draw(draw_size(self.config, events), window.start)
        learned = self._window(self._state, window, draw)
        self._buffer.admit(learned.admitted)
        self._replayed += learned.report.replayed
        self._events_replayed += sum(sample.num_targets for sample in draw)
        self._take(learned)

    def _take(self, learned: Candidate) -> None:
        """Go on with what was learned."""
        self._state = learned.state
        self._positions += learned.report.positions

    def _window(
        self,
        state: LearningState,
        window: Slice,
        draw: Sequence[Sample],
        *,
        seed: int | None = None,
    ) -> Candidate:
        return learn_window(
            state,
            window.events(self._setup.seed),
            seed=window.start if seed is None else seed,
            draw=draw,
            device=self._setup.device,
            progress=self._setup.progress,
        )

    def _freeze(self, learned: Slice) -> None:
        """Let the state as it is now answer from here on."""
        self.version = Version.of(self._state, learned)

    def scores(self, questions: Questions) -> Scores:
        return factored(self.version.queries(questions), self.version.vectors)

    def costs(self) -> dict[str, float]:
        return {
            "positions_trained": float(self._positions),
            "samples_replayed": float(self._replayed),
            "samples_kept": float(len(self._buffer)),
            "events_replayed": float(self._events_replayed),
            "bytes_kept": float(self._bytes_kept()),
        }

    def _bytes_kept(self) -> int:
        """What the methods keep from one update to the next: the buffer and their tensors.

        Weights and users' histories are left out: every arm has them.
        """
        tensors = (
            tensor
            for method in self._state.methods.values()
            for tensor in method.state_dict().values()
        )
        return self._buffer.stored_bytes() + sum(tensor.nbytes for tensor in tensors)


class MultiTask(Learner):
    """The service's own update with a head for each event type of the base that is frequent enough.

    A question is answered through the head of the type that it asks for. With fewer than two types
    there is nothing to tell apart and no head.

    Args:
        setup: as for `Learner`; its own `type_heads` are not used.
        extra: methods beside the configured ones.
        enough: events of the base from which on a type has a head.
    """

    def __init__(
        self, setup: ArmSetup, *, extra: tuple[str, ...] = (), enough: int = ENOUGH
    ) -> None:
        super().__init__(setup, tuple(dict.fromkeys((*setup.config.methods, *extra))))
        self._enough = enough

    def fit(self, base: Slice) -> None:
        heads = frequent_types(base, self._enough)
        self.config = dataclasses.replace(self.config, type_heads=heads)
        self._base = dataclasses.replace(self._base, type_heads=heads)
        super().fit(base)


def frequent_types(base: Slice, enough: int = ENOUGH) -> tuple[str, ...]:
    """Types with at least `enough` events in the base; none where the stream has a single one."""
    counts = base.type_counts()
    if len(counts) < 2:
        return ()
    return tuple(kind for kind, events in counts.items() if kind and events >= enough)


class Frozen(Learner):
    """The network after the base, never updated: what standing still costs."""

    def __init__(self, setup: ArmSetup) -> None:
        super().__init__(setup, methods=())

    def update(self, period: Slice) -> None:
        pass
