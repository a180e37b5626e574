"""Elastic weight consolidation with all its anchors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.method import EVERY, Method, checked
from models.continual.moments import Start
from models.continual.quadratic import Quadratic
from models.parameters import Snapshot, prefixed, stripped


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of EWC."""

    strength: float = 1.0
    """λ."""

    def __post_init__(self) -> None:
        checked("strength", self.strength, 0.0)


class Ewc(Method):
    """½ λ Σ_t Σ_i F_t,i (θ_i − θ*_t,i)², one term for each update t that was consolidated.

    Kept as one quadratic: F = Σ_t F_t and θ* = Σ_t F_t θ*_t / F have the same gradient. Since old
    anchors stay where they are, a row displaced by earlier updates feels the pull although the
    present one does not touch it.

    Source: Kirkpatrick et al., 2017 (arXiv 1612.00796), equation 3. Deviations: a window stands
    for a task; the step is implicit (see `models.continual.optimizers`).
    """

    name = "ewc"
    encoders = EVERY
    parameter_type: ClassVar = Parameters
    needs_fisher = True
    moves_anchor = False

    def __init__(
        self, strength: float, importance: Mapping[str, Tensor], anchor: Mapping[str, Tensor]
    ) -> None:
        """`anchor` means nothing where `importance` is 0."""
        self.strength = strength
        self.importance = dict(importance)
        self.anchor = dict(anchor)

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config).strength, {}, {})

    def begun(self, start: Start) -> Self:
        importance, anchor = {}, {}
        for name in start.weights:
            importance[name] = start.aligned(name, self.importance.get(name))
            anchor[name] = start.aligned(name, self.anchor.get(name))
        return type(self)(self.strength, importance, anchor)

    def pulls(self, start: Snapshot) -> Mapping[str, Quadratic]:
        return {
            name: Quadratic(self.strength, importance, self.anchor[name])
            for name, importance in self.importance.items()
        }

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        importance, anchor = {}, {}
        for name, old in self.importance.items():
            new = fisher.add_to(name, torch.zeros_like(old))
            total = old + new
            share = torch.where(total > 0, new / total, 1.0)
            importance[name] = total
            anchor[name] = torch.lerp(self.anchor[name], learned[name], share)
        return type(self)(self.strength, importance, anchor)

    def state_dict(self) -> dict[str, Tensor]:
        return prefixed("importance.", self.importance) | prefixed("anchor.", self.anchor)

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        importance, anchor = stripped(tensors, "importance."), stripped(tensors, "anchor.")
        return type(self)(self.strength, importance, anchor)
