"""Distillation from the model as it was before the update."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from models.config import LearningConfig
from models.continual.method import EVERY, Method, Start, Step, checked
from models.interactions import START

ON = ("replayed", "new", "both")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of distillation."""

    strength: float = 1.0
    """λ, before it is adapted."""
    temperature: float = 1.0
    """T, which both distributions are softened by."""
    on: str = "replayed"
    """The samples it is taken on: `replayed`, `new` or `both`."""
    adaptive: bool = True
    """Whether λ follows the share of old items and of replayed samples, as ADER has it."""

    def __post_init__(self) -> None:
        checked("strength", self.strength, 0.0)
        checked("temperature", self.temperature, 0.05, 100.0)
        if self.on not in ON:
            raise ValueError(f"on: must be one of {', '.join(ON)}, got {self.on!r}")
        if not isinstance(self.adaptive, bool):
            raise ValueError(f"adaptive: must be true or false, got {self.adaptive!r}")


class Distillation(Method):
    """λ T² KL(p_T ‖ q_T): q the model in training, p the one that the update started from, frozen.

    Both are softmaxes over the step's shared candidates, with their logQ correction, as far as the
    teacher knows them; a teacher's opinion is asked at every target of the samples it is taken on.
    With `adaptive`, λ is multiplied by √(old items / all items · replayed / new targets of the
    step): the more is new, the less the old model is held to.

    Source: Hinton et al., 2015 (arXiv 1503.02531); on exemplars, with the adaptive weight, Mi et
    al., 2020 (ADER, arXiv 2007.12000), equations 4 and 5. Deviations: a divergence, not a
    cross-entropy (the gradient is the same); over candidates, not the whole catalogue; targets of
    the step for sizes of the sets.
    """

    name = "distillation"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(self, parameters: Parameters, known: int = 0, items: int = 0) -> None:
        self.parameters = parameters
        self._known = known
        self._items = items

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config))

    def begun(self, start: Start) -> Self:
        return type(self)(self.parameters, start.known["items"], len(start.weights["items"]))

    def loss(self, step: Step) -> Tensor | None:
        chosen = self._chosen(step)
        known = step.rows[step.candidates] < self._known
        if self.parameters.strength == 0.0 or not bool(chosen.any()) or not bool(known.any()):
            return None
        candidates, shift = step.candidates[known], step.shift[known]
        with torch.no_grad():
            inputs = step.batch.inputs
            batch = replace(step.batch, inputs=torch.where(inputs < self._known, inputs, START))
            queries = step.teacher.queries(batch)[step.wanted][chosen]
            vectors = step.teacher.vectors(step.teacher.items.rows[step.rows[candidates]])
            wanted = F.log_softmax(self._soft(queries, vectors, shift), dim=1)
        given = F.log_softmax(
            self._soft(step.queries[chosen], step.vectors[candidates], shift), dim=1
        )
        divergence = F.kl_div(given, wanted, reduction="none", log_target=True).sum(1)
        weights = step.weights[chosen]
        mean = (divergence * weights).sum() / weights.sum().clamp(min=1e-12)
        return mean * (self._strength(step) * self.parameters.temperature**2)

    def _chosen(self, step: Step) -> Tensor:
        """Which targets the teacher is asked at, [T] bool."""
        replayed = step.replayed[step.owners]
        if self.parameters.on == "both":
            return torch.ones_like(replayed)
        return replayed if self.parameters.on == "replayed" else ~replayed

    def _soft(self, queries: Tensor, vectors: Tensor, shift: Tensor) -> Tensor:
        return torch.addmm(-shift, queries, vectors.T) / self.parameters.temperature

    def _strength(self, step: Step) -> float:
        if not self.parameters.adaptive:
            return self.parameters.strength
        replayed = int(step.replayed[step.owners].sum())
        old = self._known / max(self._items, 1)
        ratio = replayed / max(len(step.owners) - replayed, 1)
        if self.parameters.on != "replayed":
            ratio = 1.0
        return self.parameters.strength * math.sqrt(old * ratio)
