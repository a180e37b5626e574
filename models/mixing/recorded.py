"""A lesson as it is written down when it happens: by what the fast memory said, without a network.

Whoever learns from it fills in what its network says; see `models.continual.hearing`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

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
        answer: name of the answer that showed the candidates, which are in its order then; empty
            where they are all that there were.
        looked: of an answer's candidates the first so many were looked at, as far as what was taken
            can tell.
    """

    sources: tuple[str, ...]
    type: str
    history: tuple[str, ...]
    items: tuple[str, ...]
    features: npt.NDArray[np.float16]
    target: int
    answer: str = ""
    looked: int = 0

    def as_seen(self, seen: Collection[str] | None) -> Recorded | None:
        """An answer's lesson with the candidates alone that were seen; None where that leaves no
        choice.

        Args:
            seen: ids of the items that were; what was taken was seen in any case. None where nobody
                has told: then as far down as it was looked at.
        """
        if seen is None:
            places = list(range(self.looked))
        else:
            told = {*seen, self.items[self.target]}
            places = [at for at, item in enumerate(self.items) if item in told]
        if len(places) < 2:
            return None
        return replace(
            self,
            items=tuple(self.items[at] for at in places),
            features=self.features[places],
            target=places.index(self.target),
            looked=len(places),
        )
