"""Online elastic weight consolidation: one moving anchor, a Fisher that fades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.method import EVERY, Method, checked
from models.continual.moments import Start
from models.continual.quadratic import Quadratic
from models.parameters import Snapshot, prefixed, stripped


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of online EWC."""

    strength: float = 1.0
    """λ."""
    decay: float = 0.9
    """γ: what is left of the old Fisher after a consolidation."""

    def __post_init__(self) -> None:
        checked("strength", self.strength, 0.0)
        checked("decay", self.decay, 0.0, 1.0)


class OnlineEwc(Method):
    """½ λ Σ_i F*_i (θ_i − θ*_i)² with θ* the weights that the update starts from.

    After each update F* ← γ F* + F. The anchor is the parent version itself, so nothing is kept
    for it, and a row that the update does not touch stands at its anchor: its penalty is zero.

    Source: Schwarz et al., 2018 (arXiv 1805.06370), equations 8 and 9. Deviations: a window stands
    for a task; F is not rescaled to equal norms; the step is implicit (see
    `models.continual.optimizers`).
    """

    name = "online-ewc"
    encoders = EVERY
    needs_fisher = True
    parameter_type: ClassVar = Parameters

    def __init__(self, strength: float, decay: float, importance: Mapping[str, Tensor]) -> None:
        self.strength = strength
        self.decay = decay
        self.importance = dict(importance)

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        chosen = cls.chosen(config)
        return cls(chosen.strength, chosen.decay, {})

    def begun(self, start: Start) -> Self:
        importance = {
            name: start.aligned(name, self.importance.get(name)) for name in start.weights
        }
        return type(self)(self.strength, self.decay, importance)

    def pulls(self, start: Snapshot) -> Mapping[str, Quadratic]:
        return {
            name: Quadratic(self.strength, importance, start[name])
            for name, importance in self.importance.items()
        }

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        importance = {
            name: fisher.add_to(name, old * self.decay) for name, old in self.importance.items()
        }
        return type(self)(self.strength, self.decay, importance)

    def state_dict(self) -> dict[str, Tensor]:
        return prefixed("importance.", self.importance)

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        importance = stripped(tensors, "importance.")
        return type(self)(self.strength, self.decay, importance)
