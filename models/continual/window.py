"""A window of the log turned into a candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from models.continual.memory import Split, divided
from models.continual.moments import Rehearsal
from models.continual.state import LearningState
from models.continual.update import UpdateReport, update
from models.interactions import Event, Sample
from models.parameters import grown


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a window made of its parent, to be judged.

    Attributes:
        state: the learned state; it shares nothing with the parent that is ever written to.
        report: counts and losses.
        admitted: the samples trained for the first time, for the replay buffer.
        holdout: this window's samples that were not trained on, to judge by: those held out, which
            wait in the state's memory, and its probes.
    """

    state: LearningState
    report: UpdateReport
    admitted: list[Sample]
    holdout: list[Sample]


def split_window(parent: LearningState, events: Sequence[Event], seed: int) -> Split:
    """Samples of all positive events, by user: probes, held out of this window, or trained."""
    user_keys = {event.user_id: event.user_key for event in events}
    samples = parent.memory.histories.samples(events)
    return divided(samples, user_keys, seed, parent.config)


def learn_window(
    parent: LearningState,
    events: Sequence[Event],
    *,
    seed: int,
    draw: Sequence[Sample],
    device: str = "cpu",
    rate: float = 1.0,
    progress: Callable[[float], None] | None = None,
) -> Candidate:
    """Learn one window of the log.

    Vocabularies grow by every positive event's user and item, in order. Users' samples are split:
    probes (by `user_key`) are never trained on, this window's hold-out (by `user_key` and seed)
    waits for the next update, the rest and the parent's pending samples are trained together with
    the replay draw.

    Args:
        parent: the state to go on from; it is not changed.
        events: the window in log order.
        seed: of the hold-out and of everything random; the same arguments give the same
            candidate, on a CPU to the bit.
        draw: replayed samples.
        device: where to compute.
        rate: multiplies the learning rate of this update, of no later one.
        progress: called with the share done.
    """
    split = split_window(parent, events, seed)
    train = [*parent.memory.pending, *split.train]
    state = _grown(parent, events, split)
    given = Rehearsal(parent, draw, len(train), seed)
    methods = (parent.methods[name] for name in sorted(parent.methods))
    replayed = [sample for method in methods for sample in method.rehearse(given)]
    learned, report = update(
        state,
        train,
        replayed,
        seed=seed,
        held_out=split.holdout,
        device=device,
        rate=rate,
        progress=progress,
    )
    report = replace(report, new_users=len(state.users) - len(parent.users))
    admitted: Sequence[Sample] = train
    for name in sorted(learned.methods):
        admitted = learned.methods[name].admits(admitted, learned)
    return Candidate(learned, report, [*admitted], holdout=[*split.holdout, *split.probes])


def _grown(parent: LearningState, events: Sequence[Event], split: Split) -> LearningState:
    """The parent with vocabularies, counts and memory moved on by a window; weights as they are."""
    positive = [event for event in events if event.weight > 0]
    items, users = parent.items.copy(), parent.users.copy()
    users.grow(event.user_id for event in positive)
    rows = items.grow(event.item_id for event in positive)
    counts = grown(parent.counts, len(items))
    counts += torch.from_numpy(np.bincount(rows, minlength=len(items)).astype(np.float64))
    return replace(
        parent,
        items=items,
        users=users,
        counts=counts,
        memory=parent.memory.after(positive, split.probes, split.holdout),
    )
