"""The moving parts of one update."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.batches import SampleSet, SequenceBatch
from models.continual.fisher import Fisher, estimate_fisher
from models.continual.method import Method
from models.continual.moments import Lesson, Move, Start, Step
from models.continual.optimizers import DenseOptimizer, TableOptimizer
from models.continual.quadratic import Quadratic, merged
from models.continual.state import LearningState
from models.nets import Dropout, Inputs, Recommender
from models.objectives import (
    Candidates,
    NegativeSampler,
    bpr_loss,
    gbce_loss,
    gbce_power,
    softmax_loss,
)
from models.parameters import Snapshot, Touched, touched_rows

_ROW_RATE = 3.0
"""Rows meet few gradients and take so many times the rate of the dense weights."""


class Session:
    """The moving parts of one update: a grown copy of the net, its optimizers, the pulls."""

    def __init__(
        self,
        state: LearningState,
        seed: int,
        device: str | torch.device,
        rate: float = 1.0,
        lesson: Lesson | None = None,
    ) -> None:
        self.config, self.device = state.config, device
        lesson = lesson or Lesson()
        self.net = state.net.grown(len(state.items), len(state.users), device)
        if lesson.new:
            for _, method in sorted(state.methods.items()):
                self.net = method.resized(self.net, seed)
        sizes = {name: len(tensor) for name, tensor in self.net.snapshot().items()}
        self.row_states = {
            name: rows.grown(sizes[name], device) for name, rows in state.row_states.items()
        }
        known = {"items": len(state.net.items), "users": len(state.net.users)}
        untrained = self._untrained_users()
        self.net.users.restart(untrained)
        begin = Start(
            self.net.snapshot(),
            known,
            {"users": untrained[untrained < known["users"]]},
            state.net.layout,
            self.net.layout,
            lesson,
        )
        self._welcome(state.methods.values(), begin)
        self.start: Snapshot = {name: part.clone() for name, part in begin.weights.items()}
        begin = replace(begin, weights=self.start)
        self.methods: dict[str, Method] = {
            name: method.begun(begin) for name, method in state.methods.items()
        }
        self._teacher = Recommender.from_snapshot(self.net.tensors() | self.start, self.net.meta)
        self._frozen = frozenset[str]().union(*(m.frozen() for m in self.methods.values()))
        self._watchers = [method for method in self.methods.values() if method.watches_moves]
        held = self._held()
        dense_state = state.dense_state.aligned(state.net.layout, self.net.layout, device)
        self.dense_state = dense_state if held is None else dense_state.apart()
        self.random = np.random.default_rng([seed, 1])
        self.dropout = Dropout(
            self.config.dropout, torch.Generator(device).manual_seed(seed % 2**63)
        )
        self.sampler = NegativeSampler(
            state.counts.numpy(),
            self.config.num_negatives,
            uniform=self.config.loss == "gbce",
        )
        pulls = self._pulls()
        rate = rate * self.config.learning_rate
        self._items = TableOptimizer(
            self.net.items.rows,
            self.row_states["items"],
            _ROW_RATE * rate,
            pulls.get("items"),
            anchored_at_start=self._anchored,
        )
        self._users = TableOptimizer(
            self.net.users.rows,
            self.row_states["users"],
            _ROW_RATE * rate,
            pulls.get("users"),
            anchored_at_start=self._anchored,
        )
        sparse = [method.sparse(self.net) for method in self.methods.values()]
        self._dense = DenseOptimizer(
            self.net.dense,
            self.dense_state,
            rate,
            pulls.get("dense"),
            [penalty for penalty in sparse if penalty is not None],
            held,
        )

    def _welcome(self, methods: Iterable[Method], begin: Start) -> None:
        """Let methods say where rows begin of which the parent knows nothing."""
        for name, table in (("items", self.net.items), ("users", self.net.users)):
            new = begin.newcomers(name)
            for method in methods:
                table.rows[new] = method.newcomers(name, table.rows[new])

    @property
    def _anchored(self) -> bool:
        moving = all(method.moves_anchor for method in self.methods.values())
        return moving and self.config.weight_decay == 0.0

    def _held(self) -> Tensor | None:
        """The dense weights that some method holds still, [P] bool; None where none does."""
        masks = [method.held(self.net) for method in self.methods.values()]
        given = [mask.to(self.device) for mask in masks if mask is not None]
        return torch.stack(given).any(0) if given else None

    def _pulls(self) -> dict[str, Quadratic]:
        """The pull on each parameter: all methods and the weight decay, a pull to 0, in one."""
        methods = [method.pulls(self.start) for method in self.methods.values()]
        pulls = {}
        for name, tensor in self.start.items():
            parts = [found[name] for found in methods if name in found]
            if self.config.weight_decay > 0.0:
                ones, zeros = torch.ones_like(tensor), torch.zeros_like(tensor)
                parts.append(Quadratic(self.config.weight_decay, ones, zeros))
            if (pull := merged(parts)) is not None:
                pulls[name] = pull
        return pulls

    def slow_to(self, share: float) -> None:
        """Go on with `share` of the learning rate that the update began with."""
        for optimizer in (self._items, self._users, self._dense):
            optimizer.slow_to(share)

    def train(self, batch: SequenceBatch, replayed: Tensor | None = None) -> Tensor:
        """One step on one batch.

        Args:
            batch: sequences, with rows of the grown tables.
            replayed: [B] bool, which of them are rehearsed; None: none is.

        Returns:
            The loss without what was skipped and without the terms of methods, a scalar. No target
            that is known, no step.
        """
        batch = batch.looking_ahead(self.config.lookahead, self.random)
        net, users = self.net, batch.user_idx
        if not net.encoder.has_users:
            users = torch.full_like(users, -1)
        wanted = batch.targets >= 0
        if not bool(wanted.any()):
            return torch.zeros(())
        drawn = self.sampler.draw(self.random, self.device)
        skipped = self._skipped(batch)
        touched = touched_rows(batch.inputs, batch.targets[wanted], drawn.rows, *skipped)
        touched_users = touched_rows(users)
        items, user_rows = self._items.gather(touched.rows), self._users.gather(touched_users.rows)
        leaves = {
            name: part.detach().requires_grad_()
            for name, part in net.layout.views(net.dense).items()
        }
        items.requires_grad_()
        user_rows.requires_grad_()

        given = Inputs(
            net.vectors(items),
            net.vectors(user_rows),
            touched.places[0],
            touched_users.places[0],
            net.domains_of(touched.rows),
        )
        hidden = net.encoder.queries(given, leaves, self.dropout)
        heads = None if batch.heads is None else batch.heads[wanted]
        queries = net.finish(hidden[wanted], leaves, heads)
        targets, weights = touched.places[1], batch.weights[wanted]
        loss = self.loss(queries, given.items, touched.places[1:3], drawn, weights)
        whole = loss
        for places in touched.places[3:]:
            passed = places[_owners(wanted)]
            against = bpr_loss(queries, given.items, targets, passed, weights)
            whole = whole + self.config.skip_weight * against
        if self.methods:
            step = self._step(batch, replayed, wanted, touched, queries, given, drawn, leaves)
            for term in (method.loss(step) for method in self.methods.values()):
                whole = whole if term is None else whole + term
        gradients = torch.autograd.grad(
            whole, [items, user_rows, *leaves.values()], materialize_grads=True
        )
        self._move_rows("items", self._items, touched.rows, items.detach(), gradients[0])
        if net.encoder.has_users:
            self._move_rows(
                "users", self._users, touched_users.rows, user_rows.detach(), gradients[1]
            )
        self._move_dense(net.layout.flat(gradients[2:]))
        return loss.detach()

    def _skipped(self, batch: SequenceBatch) -> tuple[Tensor, ...]:
        """The rows [B, K] that stand against the targets, if any do."""
        if batch.skipped is None or not self.config.skip_weight:
            return ()
        return (batch.skipped,)

    def _step(
        self,
        batch: SequenceBatch,
        replayed: Tensor | None,
        wanted: Tensor,
        touched: Touched,
        queries: Tensor,
        given: Inputs,
        drawn: Candidates,
        dense: Mapping[str, Tensor],
    ) -> Step:
        size, device = len(batch.user_idx), wanted.device
        none = torch.zeros(size, dtype=torch.bool, device=device)
        return Step(
            batch=batch,
            replayed=none if replayed is None else replayed.to(device),
            owners=_owners(wanted),
            wanted=wanted,
            rows=touched.rows,
            queries=queries,
            vectors=given.items,
            targets=touched.places[1],
            candidates=touched.places[2],
            shift=drawn.shift,
            weights=batch.weights[wanted],
            dense=dense,
            teacher=self._teacher,
        )

    def _move_rows(
        self, name: str, optimizer: TableOptimizer, rows: Tensor, values: Tensor, gradient: Tensor
    ) -> None:
        if name in self._frozen:
            return
        before = values.clone() if self._watchers else values
        optimizer.step(rows, values, gradient)
        for method in self._watchers:
            method.moved(name, Move(rows, gradient, values - before))

    def _move_dense(self, gradient: Tensor) -> None:
        before = self.net.dense.clone() if self._watchers else self.net.dense
        self._dense.step(gradient)
        for method in self._watchers:
            method.moved("dense", Move(None, gradient, self.net.dense - before))

    def loss(
        self,
        queries: Tensor,
        vectors: Tensor,
        places: tuple[Tensor, ...],
        drawn: Candidates,
        weights: Tensor,
    ) -> Tensor:
        """The configured loss; `places` are those of targets [T] and candidates [M]."""
        targets, candidates = places
        if self.config.loss == "softmax":
            return softmax_loss(queries, vectors, targets, candidates, drawn.shift, weights)
        power = gbce_power(len(candidates), self.sampler.num_items, self.config.calibration)
        offset = math.log(max(min(self.sampler.num_items, self.sampler.num_negatives), 1))
        return gbce_loss(queries, vectors, targets, candidates, weights, power=power, offset=offset)

    def remember(self) -> list[Tensor]:
        """Copies of all that steps write to, to `go_back` to."""
        return [part.clone() for part in self._working()]

    def go_back(self, remembered: Iterable[Tensor]) -> None:
        """Let everything be again as it was when `remember` was asked."""
        for part, before in zip(self._working(), remembered, strict=True):
            part.copy_(before)

    def _working(self) -> list[Tensor]:
        parts = [*self._items.working(), *self._users.working(), *self._dense.working()]
        for _, method in sorted(self.methods.items()):
            parts += method.working()
        return parts

    def finish(self) -> None:
        """Apply what rows still miss; to be called once, after the last step.

        Users that no step has reached (probes, held out) get an empty row: they are unknown.
        """
        self._items.finish()
        self._users.finish()
        self.net.users.rows[self._untrained_users()] = 0.0

    def _untrained_users(self) -> Tensor:
        """Rows [R] of users that no gradient has ever reached."""
        return (self.row_states["users"].count == 0).nonzero()[:, 0]

    def penalty(self) -> float:
        """Σ ½λF(θ−θ*)² of all methods now."""
        now = self.net.snapshot()
        return sum(
            float(quadratic.penalty(now[name]))
            for method in self.methods.values()
            for name, quadratic in method.pulls(self.start).items()
        )

    def consolidate(self, samples: SampleSet, seed: int, loss: float) -> Fisher:
        """Take the Fisher at the learned weights and move the methods on.

        Args:
            samples: the new ones.
            seed: of the examples that the Fisher is taken at.
            loss: the mean over the first pass.
        """
        fisher = Fisher()
        if any(method.needs_fisher for method in self.methods.values()):
            fisher = estimate_fisher(
                self.net,
                samples,
                self.sampler,
                examples=self.config.fisher_samples,
                labels=self.config.fisher,
                generator=np.random.default_rng([seed, 2]),
                device=self.device,
            )
        learned = self.net.snapshot()
        self.methods = {
            name: method.heard(loss).consolidate(learned, fisher)
            for name, method in self.methods.items()
        }
        return fisher


def _owners(wanted: Tensor) -> Tensor:
    """The line [T] of each target that is marked in `wanted` [B, S]."""
    return torch.arange(len(wanted), device=wanted.device)[:, None].expand_as(wanted)[wanted]
