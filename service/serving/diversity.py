"""Maximal marginal relevance: the next item is good, and unlike those above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def diversified(
    vectors: Tensor | None,
    held: int,
    size: int,
    diversity: float,
    fits: Callable[[int], bool],
) -> Iterator[int]:
    """Places of ranked candidates, the one with the largest marginal relevance first.

        argmax (1 − d) · relevance(i) − d · max over j in the answer of similarity(i, j)

    The similarity is the cosine, 0 where it is negative or an item has no vector: such an item is
    unlike everything. The relevance falls evenly from 1 at the first place. Ties go to the better
    place, so at d = 0 the order stays, and the first candidate of an empty answer stays first.

    Args:
        vectors: [H + P, D] of what the answer holds, then of the candidates, best first; zero
            where an item has none. None: none has one.
        held: H, items that the answer holds already.
        size: P.
        diversity: d, in [0, 1].
        fits: whether a candidate may be added to the answer at this moment; who may not is passed
            over for good.

    Source: Carbonell and Goldstein, 1998, SIGIR, equation of section 2 with λ = 1 − d.
    Deviations: relevance by place instead of by score, for scores of different sources have
    different units; negative cosines are 0.
    """
    units = _units(vectors, held + size)
    likeness = _positive(units[held:] @ units[:held].T).max(axis=1, initial=0.0)
    relevance = (1.0 - diversity) * (1.0 - np.arange(size) / max(1, size))
    waiting = np.ones(size, dtype=bool)
    for _ in range(size):
        marginal = np.where(waiting, relevance - diversity * likeness, -np.inf)
        place = int(marginal.argmax())
        waiting[place] = False
        if fits(place):
            yield place
            np.maximum(likeness, _positive(units[held:] @ units[held + place]), out=likeness)


def _units(vectors: Tensor | None, size: int) -> npt.NDArray[np.float64]:
    """Vectors of length 1, or 0."""
    if vectors is None:
        return np.zeros((size, 1))
    units = torch.nn.functional.normalize(vectors.double(), dim=1)
    return units.numpy()


def _positive(cosines: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.maximum(cosines, 0.0)
