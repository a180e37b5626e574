"""Soft sharing: the heads of event types are held to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from models.config import LearningConfig
from models.continual.counting import Counting
from models.continual.method import EVERY, checked
from models.continual.moments import Step
from models.nets.heads import WEIGHT


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of soft sharing."""

    strength: float = 0.01
    """λ."""

    def __post_init__(self) -> None:
        checked("strength", self.strength, 0.0)


class SoftSharing(Counting):
    """½ λ Σ_{a<b} ‖W_a − W_b‖² between the heads of `type_heads`.

    Taken as ½ λ H Σ_a ‖W_a − mean‖², which is the same. What a type with few events cannot learn by
    itself it takes from the others; with fewer than two heads there is nothing to share. As every
    method, it does nothing in the first update.

    Source: Evgeniou and Pontil, 2004, "Regularized multi-task learning"; between networks Duong et
    al., 2015. Deviation: the heads are what differs on top of a shared encoder, and they alone are
    held to each other.
    """

    name = "soft-sharing"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(self, strength: float, updates: int = 0) -> None:
        self.strength = strength
        self.updates = updates

    @classmethod
    def idle(cls, config: LearningConfig) -> str | None:
        few = len(config.type_heads) < 2
        return "type_heads names no two heads to be held to each other" if few else None

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config).strength)

    def loss(self, step: Step) -> Tensor | None:
        heads = step.dense.get(WEIGHT)
        if self.strength == 0.0 or self.updates == 0 or heads is None or len(heads) < 2:
            return None
        return 0.5 * self.strength * len(heads) * (heads - heads.mean(0)).square().sum()
