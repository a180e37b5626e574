"""The moments of an update, as methods are shown them: before it, at its start, in each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.parameters import Layout, Snapshot

if TYPE_CHECKING:
    from models.batches import SequenceBatch
    from models.continual.state import LearningState
    from models.interactions import Sample
    from models.nets import Recommender


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What there is to rehearse from.

    Attributes:
        parent: the state that the update starts from.
        drawn: samples drawn from the replay buffer.
        fresh: how many new samples the update has.
        seed: of everything random.
    """

    parent: LearningState
    drawn: Sequence[Sample]
    fresh: int
    seed: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """What an update is to learn; as much new as replayed, where nothing is said.

    Attributes:
        new, replayed: targets, each counted once.
        items: rows of the item table that the samples name, [n] int64; None: all of them.
    """

    new: int = 1
    replayed: int = 1
    items: Tensor | None = None

    def names(self, rows: Tensor) -> Tensor:
        """Which of the item rows `rows` [n] int64 the samples name, [n] bool."""
        if self.items is None:
            return torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        return torch.isin(rows, self.items.to(rows.device))


@dataclass(frozen=True, slots=True)
class Start:
    """Where an update starts: the parent's weights, with rows that nothing is known of yet, and
    with the blocks that methods have grown on the encoder.

    Attributes:
        weights: by parameter name, on the device of the update.
        known: rows of each table that the parent had; those behind are new.
        restarted: those among them that begin anew, by table: users whom no gradient has reached,
            for they were set aside when they came.
        before, after: the parent's layout of `dense`, and the present one.
        lesson: what is to be learned.
    """

    weights: Snapshot
    known: Mapping[str, int]
    restarted: Mapping[str, Tensor] = field(default_factory=dict)
    before: Layout = field(default_factory=Layout)
    after: Layout = field(default_factory=Layout)
    lesson: Lesson = Lesson()

    def newcomers(self, table: str) -> Tensor:
        """The rows [n] int64 of a table that begin in this update."""
        rows = self.weights[table]
        new = torch.arange(self.known[table], len(rows), device=rows.device)
        return torch.cat([self.restarted.get(table, new[:0]), new])

    def aligned(self, name: str, kept: Tensor | None) -> Tensor:
        """A copy of what a method keeps of a parameter, in the shape that this has now, with 0 for
        what is new.

        Args:
            name: of the parameter.
            kept: in the shape that it had in the parent; None where nothing is kept. Of rows that
                begin anew nothing is taken.
        """
        now = self.weights[name]
        new = torch.zeros_like(now)
        if kept is None:
            return new
        kept = kept.to(now.device)
        if name == "dense" and self.before != self.after:
            return self.before.carried(kept, self.after, new)
        new[: len(kept)] = kept
        if name in self.restarted:
            new[self.restarted[name]] = 0.0
        return new


@dataclass(frozen=True, slots=True)
class Step:
    """One training step, after its queries and before its gradient.

    T targets, R gathered rows, M candidates, B sequences, D embedding.

    Attributes:
        batch: what is learned, with rows of the tables.
        replayed: [B] bool, which of its sequences are rehearsed.
        owners: [T], the sequence of each target.
        wanted: [B, S] bool, the positions of the targets.
        rows: [R] rows of the item table that the step touches.
        queries: [T, D], normalisation and temperature in; differentiable.
        vectors: [R, D] of the touched rows; differentiable.
        targets: [T], places in `rows`.
        candidates: [M], places in `rows`.
        shift: [M], the logQ correction of the candidates.
        weights: [T], of the events.
        dense: the dense weights by name; differentiable.
        teacher: the recommender as it was at the start, frozen.
    """

    batch: SequenceBatch
    replayed: Tensor
    owners: Tensor
    wanted: Tensor
    rows: Tensor
    queries: Tensor
    vectors: Tensor
    targets: Tensor
    candidates: Tensor
    shift: Tensor
    weights: Tensor
    dense: Mapping[str, Tensor]
    teacher: Recommender


@dataclass(frozen=True, slots=True)
class Move:
    """What one step did to one parameter.

    Attributes:
        rows: [R] of a table; None: the whole of `dense`.
        gradient: of the loss without the quadratic penalties, [R, D] or [P].
        change: θ after the step less θ before it, pulls included.
    """

    rows: Tensor | None
    gradient: Tensor
    change: Tensor
