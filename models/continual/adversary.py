"""A discriminator that tells the teacher's queries from the student's.

Legend: T targets, D embedding, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.adam import AdamState
from models.continual.optimizers import DenseOptimizer
from models.parameters import Layout, initial_rows

_HIDDEN = 32
_RATE = 0.01


class Adversary:
    """f(q) = uᵀ max(0, W q + b) + c, the log odds that q is the teacher's; one update long.

    With Adam, an optimizer of its own, it lowers −log σ(f(teacher)) − log(1 − σ(f(student))); the
    student lowers −log σ(f(student)), the form that does not saturate. u and c begin at 0: it says
    one half to everything and gives no gradient until there is a difference to be learned, and
    none ever where teacher and student are the same.

    Source: Goodfellow et al., 2014 (arXiv 1406.2661), section 3, the discriminator's and the
    non-saturating loss, one step of each in turn.
    """

    def __init__(self, dim: int, seed: int, device: str | torch.device = "cpu") -> None:
        """For queries of D = `dim`; its weights are a function of the seed alone."""
        self.layout = Layout(
            (("weight", (_HIDDEN, dim)), ("bias", (_HIDDEN,)), ("out", (_HIDDEN,)), ("shift", (1,)))
        )
        weight = initial_rows(seed, 0, _HIDDEN, dim, math.sqrt(2.0))
        self.values = self.layout.flat([weight, torch.zeros(2 * _HIDDEN + 1)]).to(device)
        empty = AdamState.empty(self.layout.size)
        self.state = empty.aligned(self.layout, self.layout, device)
        self._optimizer = DenseOptimizer(self.values, self.state, _RATE)

    def odds(self, queries: Tensor, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """f of queries [T, D], [T]; with its own weights as constants, or with those given."""
        named = self.layout.views(self.values) if weights is None else weights
        hidden = F.linear(queries, named["weight"], named["bias"]).relu()
        return hidden @ named["out"] + named["shift"]

    def learn(self, teacher: Tensor, student: Tensor, weights: Tensor) -> None:
        """One step towards telling these queries [T, D] each apart, weighted by [T]."""
        leaves = {
            name: part.detach().clone().requires_grad_()
            for name, part in self.layout.views(self.values).items()
        }
        told = F.softplus(-self.odds(teacher.detach(), leaves))
        told = told + F.softplus(self.odds(student.detach(), leaves))
        gradients = torch.autograd.grad(_mean(told, weights), list(leaves.values()))
        self._optimizer.step(self.layout.flat(gradients))

    def term(self, student: Tensor, weights: Tensor) -> Tensor:
        """What the student is to lower, a scalar: −log σ(f) of its queries, weighted by [T]."""
        return _mean(F.softplus(-self.odds(student)), weights)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1e-12)
