"""One update: new and replayed samples learned under the methods' pulls, then consolidated.

A pure function: the state that comes out shares nothing that is ever written to with the one that
went in, and on a CPU with a fixed number of threads it is the same to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from models.adam import AdamState
from models.batches import SampleSet
from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.moments import Lesson
from models.continual.optimizers import RowState
from models.continual.session import Session
from models.continual.state import LearningState
from models.continual.stopping import Stopping
from models.interactions import Sample

Progress = Callable[[float], None]


class LearningCancelledError(Exception):
    """The caller asked to stop in the middle of learning."""


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """What an update did, in counts and losses; it knows no clock."""

    samples: int
    replayed: int
    positions: int
    """Targets trained on, counted once for each pass."""
    steps: int
    passes: int
    """Gone through."""
    kept_pass: int
    """The one that the weights are of, from 1 on: the best on what was held out, or the last."""
    stopped_early: bool
    """Whether fewer passes were gone through than were asked for."""
    loss_first: float
    """Mean loss over the first pass."""
    loss_last: float
    """Mean loss over the pass that was kept."""
    penalty: float
    """Σ ½λF(θ−θ*)² at the end."""
    fisher_examples: int
    fisher_mean: float
    """Mean over dense weights of the Fisher of this update."""
    new_items: int
    new_users: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def update(
    state: LearningState,
    new: Sequence[Sample],
    drawn: Sequence[Sample],
    *,
    seed: int,
    held_out: Sequence[Sample] = (),
    epochs: int | None = None,
    device: str | torch.device = "cpu",
    rate: float = 1.0,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[LearningState, UpdateReport]:
    """Learn `new` and `drawn` together, consolidate on `new`.

    Args:
        state: the parent's, with vocabularies, counts and memory already moved on; its net and
            optimizers are as long as the parent's vocabularies were.
        new: samples not trained on before.
        drawn: replayed samples; ids that are not known any more count as unknown.
        seed: of everything random here.
        held_out: samples by which passes are judged where `patience` is set; see `Stopping`.
        epochs: passes; None takes the configured ones. See `_plan` for where these give fewer than
            `min_steps` steps.
        device: where to compute; the result lies on the CPU.
        rate: multiplies the configured learning rate.
        progress: called with the share done.
        cancelled: asked before each step.

    Returns:
        The learned state, and what was done. With nothing to learn the weights only grow.

    Raises:
        LearningCancelledError: `cancelled` said so.
    """
    of = (state.items.rows, state.users.rows, state.net.heads.types)
    both, fresh = SampleSet.of([*new, *drawn], *of), SampleSet.of(new, *of)
    named = torch.from_numpy(np.unique(both.items[both.items >= 0]))
    lesson = Lesson(fresh.positions, both.positions - fresh.positions, named)
    session = Session(state, seed, device, rate, lesson)
    losses, steps = [], 0
    passes, size = _plan(len(both), state.config, epochs)
    stopping = _judged(session, SampleSet.of(held_out, *of), passes, seed)
    for done in range(passes):
        session.slow_to(_rate_left(done, passes, state.config.final_rate))
        losses.append(0.0)
        chunks = both.order(size, session.random)
        for place, chosen in enumerate(chunks):
            if cancelled is not None and cancelled():
                raise LearningCancelledError
            replayed = torch.from_numpy(chosen >= len(new))
            loss = session.train(both.batch(chosen, device), replayed)
            losses[-1] += float(loss) / len(chunks)
            steps += 1
            if progress is not None:
                progress((done + (place + 1) / len(chunks)) / passes)
        if stopping is not None and stopping.is_over():
            break
    kept = len(losses) if stopping is None else stopping.settle()
    session.finish()
    penalty = session.penalty()
    fisher = session.consolidate(fresh, seed, losses[0]) if len(fresh) else Fisher()
    report = UpdateReport(
        samples=len(new),
        replayed=len(drawn),
        positions=both.positions * len(losses),
        steps=steps,
        passes=len(losses),
        kept_pass=kept,
        stopped_early=len(losses) < passes,
        loss_first=losses[0] if losses else 0.0,
        loss_last=losses[kept - 1] if losses else 0.0,
        penalty=penalty,
        fisher_examples=fisher.examples,
        fisher_mean=(
            0.0 if fisher.dense is None else float(fisher.dense.mean()) / max(fisher.examples, 1)
        ),
        new_items=len(state.items) - len(state.net.items),
    )
    return _learned(state, session), report


def _judged(session: Session, held_out: SampleSet, passes: int, seed: int) -> Stopping | None:
    """What may end the update early; None where nothing can, or there is nothing to judge by."""
    patience = session.config.patience
    if not patience or not len(held_out) or passes < 2:
        return None
    return Stopping(session, held_out, patience, seed)


def _plan(samples: int, config: LearningConfig, epochs: int | None) -> tuple[int, int]:
    """How often to go over so many samples, and how many in a batch.

    A small window gets its `min_steps` from smaller batches first (it is not overlearned by them),
    and from more passes only when single samples are not enough.
    """
    passes = config.epochs if epochs is None else epochs
    if not samples:
        return 0, config.batch_size
    size = config.batch_size
    if config.min_steps:
        size = max(1, min(size, samples * passes // config.min_steps))
    return max(passes, math.ceil(config.min_steps / math.ceil(samples / size))), size


def _rate_left(done: int, passes: int, final: float) -> float:
    """The share of the learning rate in the pass after `done`: the middle of its stretch of the
    straight line from 1 at the update's beginning to `final` at its end."""
    return 1.0 - (1.0 - final) * (done + 0.5) / passes


def _learned(state: LearningState, session: Session) -> LearningState:
    """The session's outcome as a state, on the CPU; what lies there already is handed over."""
    return replace(
        state,
        net=session.net.on_cpu(),
        row_states={
            name: RowState.load({key: part.cpu() for key, part in rows.state_dict().items()})
            for name, rows in session.row_states.items()
        },
        dense_state=AdamState.load(
            {key: part.cpu() for key, part in session.dense_state.state_dict().items()}
        ),
        methods={
            name: method.load({key: part.cpu() for key, part in method.state_dict().items()})
            for name, method in session.methods.items()
        },
        updates=state.updates + 1,
    )
