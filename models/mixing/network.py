"""The network's word on candidates: it is asked apart, for it scores every item there is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.sources.question import Floats, Ints, Proposal


class Network:
    """Of one question: exp(logit − the greatest logit), so 1 for what it holds most likely.

    Args:
        logits: [M] of the rows 0 … M−1, NaN where it has no opinion.
    """

    def __init__(self, logits: Tensor) -> None:
        self._logits = torch.nan_to_num(logits, nan=-torch.inf)

    def best(self, k: int) -> Proposal:
        """Its k best items."""
        values, places = self._logits.topk(min(k, len(self._logits)))
        places, order = places.sort()
        likely = torch.exp(values - values.max())[order] if len(values) else values
        held = likely > 0.0
        return Proposal(places[held].numpy(), likely[held].double().numpy())

    def of(self, items: Ints) -> Floats:
        """Its scores [n] of any rows; 0 where it has no opinion."""
        scores: Floats = np.zeros(len(items))
        if not len(self._logits):
            return scores
        known = (items >= 0) & (items < len(self._logits))
        logits = self._logits[torch.from_numpy(items[known])]
        scores[known] = torch.exp(logits - self._logits.max()).double().numpy()
        return scores
