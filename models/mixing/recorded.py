"""A lesson as it is written down when it happens: by what the fast memory said, without a network.

Whoever learns from it fills in what its network says; see `models.continual.hearing`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Recorded:
    """A question, its candidates, and which of them came; without whose question it was.

    Attributes:
        sources: whom the features are of, in their order, the network with columns of zeros.
        type: of the event that came.
        history: item ids, oldest first.
        items: ids of the candidates [C].
        features: [C, F] float16.
        target: place of the item that came.
        answer: whether the candidates are what an answer showed, as far down as it was looked at.
    """

    sources: tuple[str, ...]
    type: str
    history: tuple[str, ...]
    items: tuple[str, ...]
    features: npt.NDArray[np.float16]
    target: int
    answer: bool = False
