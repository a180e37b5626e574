"""A group-sparse penalty and its exact step: whole groups of weights become 0."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class GroupLasso:
    """λ √n Σ_g ‖θ_g‖ over groups g of n weights each.

    Source: Yuan and Lin, 2006, equation 2.3; the step is its proximal operator (Parikh and Boyd,
    2014, section 6.5.4).

    Attributes:
        strength: λ.
        members: [G, n] int64, the places of each group's weights in the flat tensor; no place is
            named twice.
    """

    strength: float
    members: Tensor

    def penalty(self, values: Tensor) -> Tensor:
        """The penalty at `values` [P], a scalar."""
        total: Tensor = values[self.members].norm(dim=1).sum() * (self.strength * self._root)
        return total

    def step(self, values: Tensor, rate: float) -> None:
        """One implicit step of this rate on the penalty alone, in place: ‖θ_g‖ falls by
        rate · λ √n, and what would fall below 0 is 0."""
        groups = values[self.members]
        norms = groups.norm(dim=1, keepdim=True)
        left = (norms - rate * self.strength * self._root).clamp(min=0.0)
        values[self.members] = groups * (left / norms.clamp(min=1e-30))

    @property
    def _root(self) -> float:
        return float(self.members.shape[1] ** 0.5)
