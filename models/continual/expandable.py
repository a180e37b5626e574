"""Dynamically expandable: units are grown when a window is hard, and pruned when of no use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.method import EVERY, Method, checked, counted
from models.continual.moments import Start
from models.continual.sparsity import GroupLasso
from models.nets.blocks import OUTPUT, part
from models.parameters import Snapshot

if TYPE_CHECKING:
    from models.nets import Recommender


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of dynamically expandable networks."""

    threshold: float = 0.05
    """τ: the share by which a loss must exceed the level of the last ones to ask for units; with −1
    every update asks."""
    decay: float = 0.7
    """What is left of the level of losses after an update."""
    units: int = 8
    """Units grown at a time."""
    most: int = 64
    """Units there may be."""
    sparsity: float = 0.3
    """λ: 1 shrinks a unit as fast as the steadiest gradient makes it grow."""
    prune: float = 0.01
    """Units whose outgoing weights have no larger norm are removed."""
    selected: float = 0.5
    """The share of the encoder's weights, those the last window pulled on most, that learns."""

    def __post_init__(self) -> None:
        checked("threshold", self.threshold, -1.0)
        checked("decay", self.decay, 0.0, 1.0)
        counted("units", self.units, 1)
        counted("most", self.most, 0)
        checked("sparsity", self.sparsity, 0.0)
        checked("prune", self.prune, 0.0)
        checked("selected", self.selected, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Heard:
    """What is remembered of first-pass losses.

    Attributes:
        updates: how many there were; the first, which learns from nothing, is no level.
        level: their running mean; 0 before there is one.
        excess: by what share the last lay above the level before it.
    """

    updates: int = 0
    level: float = 0.0
    excess: float = 0.0

    def after(self, loss: float, decay: float) -> Heard:
        """With one loss more; one that is no number says nothing."""
        if not math.isfinite(loss):
            return replace(self, excess=0.0)
        if self.updates < 2:
            return Heard(self.updates + 1, loss if self.updates else 0.0)
        excess = loss / max(self.level, 1e-12) - 1.0
        return Heard(self.updates + 1, decay * self.level + (1.0 - decay) * loss, excess)


class Expandable(Method):
    """Growth on demand, kept sparse; only what the newest data pulls on is retrained.

    *Selective retraining*: of the encoder's weights only the share `selected` with the largest
    Fisher on the last window learns; units always do. *Expansion*: when the first-pass loss of an
    update lay more than `threshold` above the running level, the next one begins with `units` more
    units on the encoder's output (`models.nets.blocks`, one block). *Sparsity*: each unit's
    outgoing weights are a group of a group lasso, taken as its proximal step; units that it has
    brought down to `prune` are removed when the next update begins.

    Source: Yoon et al., 2018 (arXiv 1708.01547), algorithms 2 and 3. Deviations: a window stands
    for a task, and that a loss is too high is known an update later; the selection is by the Fisher
    on the last window, not by the paths from an l1-regularised output (there is no output by task);
    the groups are outgoing weights, which are 0 at birth, so that neither growth nor the removal of
    a unit at 0 changes an answer; all units stay under the penalty, not only new ones; no unit is
    split, for at an answer nothing says which task it is asked for and both halves would add up:
    drift is the business of the methods that pull.
    """

    name = "den"
    encoders = EVERY
    needs_fisher = True
    parameter_type: ClassVar = Parameters

    def __init__(
        self, parameters: Parameters, heard: Heard = Heard(), pulled: Tensor | None = None
    ) -> None:
        """`pulled` is the Fisher of the dense weights on the last window, [P]."""
        self.parameters = parameters
        self._heard = heard
        self._pulled = pulled

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config))

    def resized(self, net: Recommender, seed: int) -> Recommender:
        units = [number for block in net.blocks.of(self.name) for number in block]
        kept = units
        if units:
            norms = self._outgoing(net).norm(dim=1).tolist()
            kept = [n for n, norm in zip(units, norms, strict=True) if norm > self.parameters.prune]
        if self._heard.updates and self._heard.excess > self.parameters.threshold:
            born = min(self.parameters.units, max(self.parameters.most - len(kept), 0))
            first = 1 + max(units, default=-1)
            kept = [*kept, *range(first, first + born)]
        if kept == units:
            return net
        return net.with_blocks(net.blocks.having(self.name, [kept]), seed)

    def begun(self, start: Start) -> Self:
        pulled = None if self._pulled is None else start.aligned("dense", self._pulled)
        asked = replace(self._heard, excess=0.0) if start.lesson.new else self._heard
        return type(self)(self.parameters, asked, pulled)

    def held(self, net: Recommender) -> Tensor | None:
        """The encoder's weights that the last window pulled on least."""
        if self._pulled is None or self.parameters.selected == 1.0:
            return None
        places = net.layout.among(net.base_names, net.dense.device).nonzero()[:, 0]
        order = torch.argsort(self._pulled[places], stable=True)
        still = order[: round(len(order) * (1.0 - self.parameters.selected))]
        held = torch.zeros_like(net.dense, dtype=torch.bool)
        held[places[still]] = True
        return held

    def sparse(self, net: Recommender) -> GroupLasso | None:
        if not net.blocks.of(self.name) or self.parameters.sparsity == 0.0:
            return None
        places = torch.arange(len(net.dense), device=net.dense.device)
        members = net.layout.views(places)[part(self.name, 0, OUTPUT)]
        return GroupLasso(self.parameters.sparsity, members)

    def heard(self, loss: float) -> Self:
        heard = self._heard.after(loss, self.parameters.decay)
        return type(self)(self.parameters, heard, self._pulled)

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        pulled = fisher.add_to("dense", torch.zeros_like(learned["dense"]))
        return type(self)(self.parameters, self._heard, pulled)

    def _outgoing(self, net: Recommender) -> Tensor:
        """[U, D]."""
        return net.layout.views(net.dense)[part(self.name, 0, OUTPUT)]

    def state_dict(self) -> dict[str, Tensor]:
        heard = self._heard
        losses = torch.tensor([heard.updates, heard.level, heard.excess], dtype=torch.float64)
        return {"losses": losses, **({} if self._pulled is None else {"pulled": self._pulled})}

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        updates, level, excess = tensors["losses"].tolist()
        heard = Heard(int(updates), level, excess)
        return type(self)(self.parameters, heard, tensors.get("pulled"))
