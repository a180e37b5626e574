"""Which items stand against the targets of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_POWER = 0.5
"""Counts are flattened by this power, so that popular items do not take every draw …"""
_UNIFORM = 0.25
"""… and this share is drawn uniformly, so that no item's correction explodes."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items that a batch's targets are ranked among.

    `rows` [M] int64, each once, ascending; `shift` [M] float32 is taken off their logits: the log
    of how often each is expected among the draws, less the log of how often it was drawn. Zero
    where the whole catalogue stands there.
    """

    rows: Tensor
    shift: Tensor


class NegativeSampler:
    """Draws shared negatives by smoothed popularity mixed with uniform, or takes all items.

    q(i) = (1−u)·n_i^p / Σ_j n_j^p + u/N. The cumulative sums are built once for an update; a draw
    costs num_negatives · log N.

    Source: logQ correction after Bengio and Senécal, 2008. Deviation from the sampled softmax of
    Jean et al., 2015 (arXiv 1412.2007): the target is no draw and is counted once, uncorrected;
    negatives estimate the rest of the partition function.
    """

    def __init__(
        self, counts: npt.NDArray[np.float64], num_negatives: int, *, uniform: bool = False
    ) -> None:
        """Build the cumulative sums.

        Args:
            counts: how often each item was seen [N]; rows without any count as seen once.
            num_negatives: draws for a batch; all items stand there when there are no more.
            uniform: every item alike, whatever its count.
        """
        self.num_items = len(counts)
        self.everything = self.num_items <= num_negatives
        self.num_negatives = num_negatives
        powered = np.maximum(counts, 1.0) ** (0.0 if uniform else _POWER)
        chances = (1.0 - _UNIFORM) * powered / max(powered.sum(), 1.0) + _UNIFORM / max(
            self.num_items, 1
        )
        self._log_chance = np.log(chances).astype(np.float32)
        self._cumulative = np.cumsum(chances)

    def draw(
        self, generator: np.random.Generator, device: str | torch.device = "cpu"
    ) -> Candidates:
        """The candidates of one batch."""
        if self.everything:
            return Candidates(
                torch.arange(self.num_items, device=device),
                torch.zeros(self.num_items, device=device),
            )
        points = generator.random(self.num_negatives) * self._cumulative[-1]
        drawn = np.searchsorted(self._cumulative, points, side="right")
        rows, times = np.unique(np.minimum(drawn, self.num_items - 1), return_counts=True)
        shift = self._log_chance[rows] + np.float32(np.log(self.num_negatives))
        shift -= np.log(times.astype(np.float32))
        return Candidates(torch.from_numpy(rows).to(device), torch.from_numpy(shift).to(device))
