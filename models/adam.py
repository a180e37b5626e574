"""Adam, of one flat tensor: for the encoder's dense weights, and for whatever else is small.

Source: Kingma and Ba, 2015 (arXiv 1412.6980), algorithm 1. That of `torch.optim` does the same, and
imports a compiler on its first use: more than a second of every process that learns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.parameters import Layout

_EPS = 1e-8
_BETAS = (0.9, 0.999)


@dataclass(frozen=True, slots=True)
class AdamState:
    """Adam's memory of one flat tensor of P weights.

    Attributes:
        mean, mean_square: the first and second moments, [P].
        steps: taken so far, [1] on the CPU, or [P] where weights were born at different times.
    """

    mean: Tensor
    mean_square: Tensor
    steps: Tensor

    @classmethod
    def empty(cls, size: int) -> AdamState:
        return cls(torch.zeros(size), torch.zeros(size), torch.zeros(1))

    def apart(self) -> AdamState:
        """The same with a count of steps for each weight; moments are shared."""
        steps = self.steps.to(self.mean.device).expand(len(self.mean)).clone()
        return AdamState(self.mean, self.mean_square, steps)

    def aligned(
        self, before: Layout, after: Layout, device: str | torch.device = "cpu"
    ) -> AdamState:
        """A copy on `device` for weights laid out anew.

        Nothing is remembered of new ones, and each counts its steps from its birth: with the
        others' count the moments, which begin at 0, would be taken for settled, and the first
        steps be several times too long.
        """
        parts = [self.mean, self.mean_square, self.steps]
        if before != after:
            parts[2] = self.steps.expand(before.size)
            parts = [before.carried(part, after) for part in parts]
        mean, mean_square, steps = parts
        return AdamState(
            mean.to(device, copy=True),
            mean_square.to(device, copy=True),
            steps.to("cpu" if len(steps) == 1 else device, copy=True),
        )

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "mean_square": self.mean_square, "steps": self.steps}

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor]) -> AdamState:
        return cls(tensors["mean"], tensors["mean_square"], tensors["steps"])

    def step(self, values: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
        """Move `values` one step against `gradient`; values and state change in place.

        Args:
            values: [P] float32, on the device of the state.
            gradient: [P] float32 of what is to be lowered; left as it is.
            learning_rate: of the step.

        Returns:
            What the rate of each weight was divided by, [P].
        """
        beta, beta_square = _BETAS
        self.steps.add_(1.0)
        self.mean.lerp_(gradient, 1.0 - beta)
        self.mean_square.mul_(beta_square).addcmul_(gradient, gradient, value=1.0 - beta_square)
        root: Tensor
        if len(self.steps) == 1:
            steps = float(self.steps)
            root = (self.mean_square / (1.0 - beta_square**steps)).sqrt_().add_(_EPS)
            rate = -learning_rate / (1.0 - beta**steps)
            values.addcdiv_(self.mean, root, value=rate)
        else:
            root = (self.mean_square / _settled(beta_square, self.steps)).sqrt_().add_(_EPS)
            mean = self.mean / _settled(beta, self.steps)
            values.addcdiv_(mean, root, value=-learning_rate)
        return root


def _settled(beta: float, steps: Tensor) -> Tensor:
    """1 − β^steps, [P]: how much of a mean that began at 0 is there."""
    return -torch.expm1(steps * math.log(beta))
