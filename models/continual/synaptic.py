"""Synaptic intelligence: importance from the path that learning took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.method import EVERY, Method, checked
from models.continual.moments import Move, Start
from models.continual.quadratic import Quadratic
from models.parameters import Snapshot, prefixed, stripped


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of synaptic intelligence."""

    strength: float = 0.1
    """c."""
    damping: float = 0.001
    """ξ, which keeps what hardly moved from counting as important."""

    def __post_init__(self) -> None:
        checked("strength", self.strength, 0.0)
        checked("damping", self.damping, 1e-12)


class SynapticIntelligence(Method):
    """c Σ_i Ω_i (θ_i − θ*_i)², θ* the weights that the update starts from.

    During an update each parameter adds up what its moves brought, ω_i = −Σ g_i Δθ_i, and at its
    end Ω_i ← Ω_i + max(ω_i, 0) / (Δ_i² + ξ) with Δ_i the whole way. The gradient g that is
    integrated is that of the data's loss, new and rehearsed samples and the losses of other methods
    in it, taken before the step; the quadratic penalties are not in it. Rows that no step touches
    have neither gradient nor way, so the sparse sum is exact.

    Source: Zenke et al., 2017 (arXiv 1703.04200), equations 3 to 5. Deviations: a window stands
    for a task; ω_i below 0 counts as 0, so that the penalty is never negative; the step is implicit
    (see `models.continual.optimizers`).
    """

    name = "si"
    encoders = EVERY
    watches_moves = True
    parameter_type: ClassVar = Parameters

    def __init__(self, strength: float, damping: float, importance: Mapping[str, Tensor]) -> None:
        self.strength = strength
        self.damping = damping
        self.importance = dict(importance)
        self._start: dict[str, Tensor] = {}
        self._work: dict[str, Tensor] = {}

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        chosen = cls.chosen(config)
        return cls(chosen.strength, chosen.damping, {})

    def begun(self, start: Start) -> Self:
        importance = {
            name: start.aligned(name, self.importance.get(name)) for name in start.weights
        }
        twin = type(self)(self.strength, self.damping, importance)
        twin._start = dict(start.weights)
        twin._work = {name: torch.zeros_like(part) for name, part in start.weights.items()}
        return twin

    def pulls(self, start: Snapshot) -> Mapping[str, Quadratic]:
        """c Ω (θ−θ*)² is ½ λ Ω (θ−θ*)² with λ = 2c."""
        return {
            name: Quadratic(2.0 * self.strength, importance, start[name])
            for name, importance in self.importance.items()
        }

    def moved(self, name: str, move: Move) -> None:
        work = self._work[name]
        if move.rows is None:
            work.addcmul_(move.gradient, move.change, value=-1.0)
        else:
            work.index_add_(0, move.rows, move.gradient * move.change, alpha=-1.0)

    def working(self) -> Sequence[Tensor]:
        return [self._work[name] for name in sorted(self._work)]

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        importance = {}
        for name, old in self.importance.items():
            way = (learned[name] - self._start[name]).square()
            importance[name] = old + self._work[name].clamp(min=0.0) / (way + self.damping)
        return type(self)(self.strength, self.damping, importance)

    def state_dict(self) -> dict[str, Tensor]:
        return prefixed("importance.", self.importance)

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        importance = stripped(tensors, "importance.")
        return type(self)(self.strength, self.damping, importance)
