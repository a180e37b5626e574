"""How far an item's score may be from what was learned, and scores drawn within that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Standard deviations of item vectors, each element of a vector having the same.

    Before anything is known of it, an item may be like any other: the deviation r is the root mean
    square of the elements of all vectors. With a precision p, in what the examples told of an
    element, it is the posterior of a Gaussian, 1 / √(1/r² + p). Where a version does not say p,
    every event tells as much as is known beforehand: r / √(1 + events).

    Source: the Laplace approximation, with the diagonal of the Fisher information as the posterior
    precision (Kirkpatrick et al., 2017, arXiv 1612.00796, section 2). Deviation: one precision for
    all elements of a row.
    """

    by_row: Tensor
    """[N] float32."""
    unmet: float
    """r, that of an item which has no row."""

    @classmethod
    def of(cls, vectors: Tensor, events: Tensor, precision: Tensor | None) -> Self:
        """
        Args:
            vectors: [N, D].
            events: how often each item was a positive event, [N].
            precision: [N], as `models.continual.precision` has it; None where nobody knows.
        """
        spread = float(vectors.norm()) ** 2 / max(vectors.numel(), 1)
        known = events.double() if precision is None else precision.double() * spread
        deviations = (spread / (1.0 + known)).sqrt()
        return cls(deviations.float(), spread**0.5)

    def of_rows(self, rows: npt.NDArray[np.int64]) -> Floats:
        """[n], of items in rows; −1 is an item that has none."""
        found: Floats = np.full(len(rows), self.unmet)
        known = rows >= 0
        found[known] = self.by_row[torch.from_numpy(rows[known])].double().numpy()
        return found


def sampled(
    scores: Floats, deviations: Floats, length: float, generator: np.random.Generator
) -> Floats:
    """q·v_i + σ_i ‖q‖ ε_i with ε of a standard normal: scores [n] under one draw of the vectors.

    Args:
        scores: q·v_i, [n].
        deviations: σ_i, [n].
        length: ‖q‖.

    Source: Thompson sampling of a linear model (Agrawal and Goyal, 2013, arXiv 1209.3352).
    Deviations: the posterior is diagonal, so items are drawn each by itself and only the score is;
    where vectors have unit length, what a draw would do to the length is not taken off.
    """
    return scores + deviations * length * generator.standard_normal(len(scores))
