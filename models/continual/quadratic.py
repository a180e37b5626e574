"""Quadratic penalties: what EWC, online EWC and L2 have in common, and their exact step.

A penalty is ½ λ Σ F (θ − θ*)² with strength λ, importance F and anchor θ*. A sum of such is one
such (plus a constant), so any list of methods comes down to one pull per table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Quadratic:
    """½ · strength · Σ importance · (θ − anchor)² over a tensor θ; shapes are θ's own."""

    strength: float
    importance: Tensor
    anchor: Tensor

    def penalty(self, values: Tensor) -> Tensor:
        """The penalty at `values`, a scalar; its gradient is λF(θ − θ*)."""
        return 0.5 * self.strength * (self.importance * (values - self.anchor).square()).sum()

    def rows(self, rows: Tensor) -> Quadratic:
        """The same for some rows [R] of a table."""
        return Quadratic(self.strength, self.importance[rows], self.anchor[rows])


def merged(quadratics: Sequence[Quadratic]) -> Quadratic | None:
    """One quadratic with the gradient of all; None when none of them pulls.

    Importances add up; the anchor is their weighted mean. Where nothing is important the anchor is
    the first one's.
    """
    pulling = [quadratic for quadratic in quadratics if quadratic.strength > 0.0]
    if len(pulling) < 2:
        return pulling[0] if pulling else None
    precision = torch.zeros_like(pulling[0].importance)
    moment = torch.zeros_like(precision)
    for quadratic in pulling:
        precision.add_(quadratic.importance, alpha=quadratic.strength)
        offset = (quadratic.anchor - pulling[0].anchor) * quadratic.importance
        moment.add_(offset, alpha=quadratic.strength)
    offset = torch.where(precision > 0, moment / precision, 0.0)
    return Quadratic(1.0, precision, pulling[0].anchor + offset)


def missed_pulls(distance: Tensor, stiffness: Tensor, times: Tensor) -> Tensor:
    """What `times` implicit steps on the penalty alone add to a parameter.

    One implicit (proximal) step with rate η solves d' = d − η λF d', so d' = d / (1 + ηλF), and
    `times` of them give d · (1 + ηλF)^(−times).

    Args:
        distance: d = θ − θ*, any shape.
        stiffness: ηλF, of the same shape, not negative.
        times: how many steps, broadcast.

    Returns:
        d · ((1 + ηλF)^(−times) − 1), exactly 0 where nothing pulls.
    """
    return distance * torch.expm1(-times * torch.log1p(stiffness))
