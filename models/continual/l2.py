"""A plain pull to the last consolidated weights: the control for EWC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.method import EVERY, Method, Start, checked
from models.continual.quadratic import Quadratic
from models.parameters import Snapshot


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of L2."""

    strength: float = 0.01
    """λ."""

    def __post_init__(self) -> None:
        checked("strength", self.strength, 0.0)


class L2(Method):
    """½ λ Σ_i (θ_i − θ*_i)² with θ* the weights that the update starts from.

    What is new in an update, rows or units, has no anchor and feels no pull.

    Source: the L2 baseline of Kirkpatrick et al., 2017 (arXiv 1612.00796), figure 2.
    """

    name = "l2"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(self, strength: float, consolidated: Mapping[str, int]) -> None:
        """`consolidated` is how many rows of each parameter have an anchor."""
        self.strength = strength
        self.consolidated = dict(consolidated)
        self._importance: dict[str, Tensor] = {}

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config).strength, {})

    def begun(self, start: Start) -> Self:
        twin = type(self)(self.strength, self.consolidated)
        for name, tensor in start.weights.items():
            rows = self.consolidated.get(name)
            kept = None if rows is None else tensor.new_ones(rows, *tensor.shape[1:])
            twin._importance[name] = start.aligned(name, kept)
        return twin

    def pulls(self, start: Snapshot) -> Mapping[str, Quadratic]:
        return {
            name: Quadratic(self.strength, importance, start[name])
            for name, importance in self._importance.items()
        }

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        return type(self)(self.strength, {name: len(part) for name, part in learned.items()})

    def state_dict(self) -> dict[str, Tensor]:
        return {f"rows.{name}": torch.tensor([rows]) for name, rows in self.consolidated.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        rows = {name.split(".", 1)[1]: int(tensor) for name, tensor in tensors.items()}
        return type(self)(self.strength, rows)
