"""Distillation from the model as it was before the update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from models.batches import START
from models.config import LearningConfig
from models.continual.adversary import Adversary
from models.continual.method import EVERY, Method, checked, rehearsing
from models.continual.moments import Start, Step

ON = ("replayed", "new", "both")
FORMS = ("likelihood", "adversarial")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of distillation."""

    strength: float = 1.0
    """λ, before it is adapted."""
    temperature: float = 1.0
    """T, which both distributions are softened by."""
    form: str = "likelihood"
    """`likelihood` holds each answer to the teacher's, `adversarial` their distribution."""
    on: str = "replayed"
    """The samples it is taken on: `replayed`, `new` or `both`."""
    adaptive: bool = True
    """Whether λ follows the share of old items and of replayed samples, as ADER has it."""

    def __post_init__(self) -> None:
        checked("strength", self.strength, 0.0)
        checked("temperature", self.temperature, 0.05, 100.0)
        if self.form not in FORMS:
            raise ValueError(f"form: must be one of {', '.join(FORMS)}, got {self.form!r}")
        if self.on not in ON:
            raise ValueError(f"on: must be one of {', '.join(ON)}, got {self.on!r}")
        if not isinstance(self.adaptive, bool):
            raise ValueError(f"adaptive: must be true or false, got {self.adaptive!r}")


class Distillation(Method):
    """The model in training (the student) is held to the one that the update started from, frozen
    (the teacher), which is asked at every target of the samples that it is taken on, through the
    head of the target's type.

    `likelihood`: λ T² KL(p_T ‖ q_T), p the teacher's and q the student's softmax over the step's
    shared candidates, with their logQ correction, as far as the teacher knows them.

    `adversarial`: −λ log σ(f(s/T)), s the student's queries and f a discriminator, begun anew in
    each update, that learns in each step to tell them from the teacher's (see `Adversary`). It
    holds to how answers are distributed, not to the answer to this history.

    With `adaptive`, λ is multiplied by √(old items / all items · replayed / new targets), both
    targets counted over the whole update: the more is new, the less the old model is held to. On
    `new` samples, or `both`, no set of replayed ones is what holds the model, and it is √(old items
    / all items); so it is in an update where nothing is new.

    Sources: Hinton et al., 2015 (arXiv 1503.02531); on exemplars, with the adaptive weight, Mi et
    al., 2020 (ADER, arXiv 2007.12000), equations 4 and 5; adversarial, Xu et al., 2017 (arXiv
    1709.00513). Deviations: a divergence, not a cross-entropy (the gradient is the same); over
    candidates, not the whole catalogue; targets for sizes of the sets; the discriminator reads
    queries, which any candidates' scores are made from, where theirs reads logits of fixed classes,
    and no label. Nor is there a third player that learns, as in KDGAN (Wang et al., 2018): the
    teacher stands still.
    """

    name = "distillation"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(
        self,
        parameters: Parameters,
        seed: int = 0,
        *,
        known: int = 0,
        adapted: float = 1.0,
        adversary: Adversary | None = None,
    ) -> None:
        self.parameters = parameters
        self.adversary = adversary
        self._seed = seed
        self._known = known
        self._adapted = adapted

    @classmethod
    def idle(cls, config: LearningConfig) -> str | None:
        if cls.chosen(config).on != "replayed" or rehearsing(config):
            return None
        return "it is taken on what is replayed, and no method replays; `on` may be `new`"

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config), config.seed)

    def begun(self, start: Start) -> Self:
        items, adversary = start.weights["items"], None
        if self.parameters.form == "adversarial":
            adversary = Adversary(items.shape[1], self._seed, items.device)
        known = start.known["items"]
        ratio = known / max(len(items), 1)
        if self.parameters.on == "replayed" and start.lesson.new:
            ratio *= start.lesson.replayed / start.lesson.new
        adapted = math.sqrt(ratio) if self.parameters.adaptive else 1.0
        return type(self)(
            self.parameters, self._seed, known=known, adapted=adapted, adversary=adversary
        )

    def loss(self, step: Step) -> Tensor | None:
        chosen = self._chosen(step)
        if self.parameters.strength == 0.0 or self._known == 0 or not bool(chosen.any()):
            return None
        if self.adversary is None:
            term = self._likelihood(step, chosen)
        else:
            term = self._adversarial(step, chosen, self.adversary)
        return None if term is None else term * (self.parameters.strength * self._adapted)

    def _likelihood(self, step: Step, chosen: Tensor) -> Tensor | None:
        known = step.rows[step.candidates] < self._known
        if not bool(known.any()):
            return None
        candidates, shift = step.candidates[known], step.shift[known]
        with torch.no_grad():
            vectors = step.teacher.vectors(step.teacher.items.rows[step.rows[candidates]])
            wanted = F.log_softmax(self._soft(self._asked(step, chosen), vectors, shift), dim=1)
        given = F.log_softmax(
            self._soft(step.queries[chosen], step.vectors[candidates], shift), dim=1
        )
        divergence = F.kl_div(given, wanted, reduction="none", log_target=True).sum(1)
        weights = step.weights[chosen]
        mean = (divergence * weights).sum() / weights.sum().clamp(min=1e-12)
        return mean * self.parameters.temperature**2

    def _adversarial(self, step: Step, chosen: Tensor, adversary: Adversary) -> Tensor:
        student = step.queries[chosen] / self.parameters.temperature
        teacher = self._asked(step, chosen) / self.parameters.temperature
        adversary.learn(teacher, student, step.weights[chosen])
        return adversary.term(student, step.weights[chosen])

    def _asked(self, step: Step, chosen: Tensor) -> Tensor:
        """The teacher's queries [n, D] at the targets chosen, blind for items that it never met."""
        inputs = step.batch.inputs
        batch = replace(step.batch, inputs=torch.where(inputs < self._known, inputs, START))
        return step.teacher.queries(batch)[step.wanted][chosen]

    def _chosen(self, step: Step) -> Tensor:
        """Which targets the teacher is asked at, [T] bool."""
        replayed = step.replayed[step.owners]
        if self.parameters.on == "both":
            return torch.ones_like(replayed)
        return replayed if self.parameters.on == "replayed" else ~replayed

    def _soft(self, queries: Tensor, vectors: Tensor, shift: Tensor) -> Tensor:
        return torch.addmm(-shift, queries, vectors.T) / self.parameters.temperature

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        """Nothing is remembered: teacher and discriminator are of one update."""
        return type(self)(self.parameters, self._seed)
