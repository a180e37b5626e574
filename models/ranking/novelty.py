"""How new an item is, by how seldom it was met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Novelty:
    """Self-information of items, −log₂ of their share of all that was met, in bits.

    Every item counts as met once more than it was, and beside them stands one that was never met:
    share = (n_i + 1) / (Σ_j n_j + N + 1).

    Source: Zhou et al., 2010 (arXiv 0808.2670), the novelty of recommendations. Deviation: shares
    of events, not of users, and the one more.
    """

    by_row: Tensor
    """[N] float32."""
    unmet: float
    """That of an item which has no row."""

    @classmethod
    def of(cls, counts: Tensor) -> Self:
        """From how often each item was met [N]."""
        whole = torch.log2(counts.double().sum() + len(counts) + 1)
        return cls((whole - torch.log2(counts.double() + 1)).float(), float(whole))

    def bits(self, row: int) -> float:
        """Of the item in a row, −1 for one that has none."""
        return self.unmet if row < 0 else float(self.by_row[row])
