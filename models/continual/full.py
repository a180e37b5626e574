"""A full retrain: fresh weights over everything that was ever seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch

from models.continual.memory import is_probe, set_aside
from models.continual.state import LearningState
from models.continual.update import update
from models.interactions import Event, Histories


def learn_archive(
    start: LearningState,
    events: Iterable[Event],
    *,
    seed: int,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> LearningState:
    """Train fresh weights on the whole log up to where `start` stands.

    Probe users and the samples that wait in `start`'s memory are left out, as in every update; with
    `patience`, passes are judged by those that wait. Where none do, a tenth of the users is left
    out and waits from now on.
    Vocabularies and memory are `start`'s, counts are taken anew, and the methods are consolidated
    once, on everything: the new Fisher is that of the whole archive.

    Args:
        start: the state to stand beside; its weights are not used. For another encoder or
            dimension give `LearningState.recall(bundle, config)`.
        events: the log in order, up to the position of `start`.
        seed: of everything random.
        device: where to compute.
        progress: called with the share done.
        cancelled: asked before each step.

    Raises:
        LearningCancelledError: `cancelled` said so.
    """
    told = [
        event
        for event in events
        if (event.weight > 0 or event.skip) and event.item_id in start.items
    ]
    kept = _trainable(start, told)
    state = start.untrained()
    rows = torch.from_numpy(start.items.rows(event.item_id for event in told if event.weight > 0))
    state.counts.index_add_(0, rows, torch.ones(len(rows), dtype=torch.float64))
    samples, waiting = Histories(start.config.max_history).samples(kept), start.memory.pending
    if start.config.patience and not waiting:
        users = set_aside(samples, {event.user_id: event.user_key for event in kept}, seed)
        waiting = tuple(sample for sample in samples if sample.user_id in users)
        samples = [sample for sample in samples if sample.user_id not in users]
        state = replace(state, memory=replace(state.memory, pending=waiting))
    learned, _ = update(
        state,
        samples,
        (),
        seed=seed,
        held_out=waiting,
        epochs=start.config.full_epochs,
        device=device,
        progress=progress,
        cancelled=cancelled,
    )
    return replace(learned, updates=start.updates + 1)


def _trainable(start: LearningState, events: list[Event]) -> list[Event]:
    """Events of no probe user, less the latest ones of each user that wait in the memory, with what
    was skipped among these."""
    waiting = Counter[str]()
    for sample in start.memory.pending:
        waiting[sample.user_id] += sample.num_targets
    kept = []
    for event in reversed(events):
        if waiting[event.user_id] > 0:
            waiting[event.user_id] -= int(event.weight > 0)
        elif not is_probe(event.user_key, start.config.probe_share):
            kept.append(event)
    return kept[::-1]
