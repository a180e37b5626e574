"""The network's word on candidates: it is asked apart, for it scores every item there is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.sources.question import Floats, Ints, Proposal


@dataclass(frozen=True, slots=True)
class Network:
    """Of one question: exp(logit − the greatest logit), so 1 for what it holds most likely.

    Attributes:
        logits: [M] of the items that were scored, NaN where it has no opinion.
        items: [M] which rows these are, ascending; None: row by row.
    """

    logits: Tensor
    items: Ints | None = None

    def best(self, k: int) -> Proposal:
        """Its k best items."""
        known = torch.nan_to_num(self.logits, nan=-torch.inf)
        values, places = known.topk(min(k, len(known)))
        places, order = places.sort()
        likely = torch.exp(values - values.max())[order] if len(values) else values
        held = likely > 0.0
        found = self._rows(places[held].numpy())
        return Proposal(found, likely[held].double().numpy())

    def of(self, items: Ints) -> Floats:
        """Its scores [n] of any rows; 0 where it has no opinion."""
        scores: Floats = np.zeros(len(items))
        if not len(self.logits):
            return scores
        place, known = self._places(items)
        known_logits = torch.nan_to_num(self.logits, nan=-torch.inf)
        likely = torch.exp(known_logits[torch.from_numpy(place[known])] - known_logits.max())
        scores[known] = likely.double().numpy()
        return scores

    def _rows(self, places: npt.NDArray[np.int64]) -> Ints:
        return places if self.items is None else self.items[places]

    def _places(self, items: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        if self.items is None:
            return items, (items >= 0) & (items < len(self.logits))
        place = np.minimum(np.searchsorted(self.items, items), len(self.items) - 1)
        return place, self.items[place] == items
