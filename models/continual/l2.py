"""A plain pull to the last consolidated weights: the control for EWC."""

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
    """Of L2."""

    strength: float = 0.01
    """λ."""

    def __post_init__(self) -> None:
        checked("strength", self.strength, 0.0)


class L2(Method):
    """½ λ Σ_i (θ_i − θ*_i)² with θ* the weights that the update starts from.

    What is new in an update, rows or units, has no anchor and feels no pull, nor has a user who was
    set aside until then.

    Source: the L2 baseline of Kirkpatrick et al., 2017 (arXiv 1612.00796), figure 2.
    """

    name = "l2"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(self, strength: float, importance: Mapping[str, Tensor]) -> None:
        """`importance` is 1 where there is an anchor: [P], and [N, D] or [N, 1] of a table."""
        self.strength = strength
        self.importance = dict(importance)

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config).strength, {})

    def begun(self, start: Start) -> Self:
        importance = {
            name: start.aligned(name, self.importance.get(name)) for name in start.weights
        }
        return type(self)(self.strength, importance)

    def pulls(self, start: Snapshot) -> Mapping[str, Quadratic]:
        return {
            name: Quadratic(self.strength, importance, start[name])
            for name, importance in self.importance.items()
        }

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        return type(self)(self.strength, {n: torch.ones_like(part) for n, part in learned.items()})

    def state_dict(self) -> dict[str, Tensor]:
        """One number for each row of a table, which has an anchor as a whole or not at all."""
        rows = {n: part[:, :1] if part.ndim == 2 else part for n, part in self.importance.items()}
        return prefixed("importance.", {name: part.clone() for name, part in rows.items()})

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        return type(self)(self.strength, stripped(tensors, "importance."))
