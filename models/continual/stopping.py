"""Early stopping: an update ends when its passes no longer help on samples held out of it.

Source: Prechelt, 1998, "Early stopping – but when?". Deviations: the count of passes without a new
best takes the place of the criteria GL, PQ and UP; the candidates that the held-out loss is taken
among are drawn once for all passes, so that these are compared and not the draws.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from models.batches import SampleSet
from models.continual.session import Session

_AT_ONCE = 256


class Stopping:
    """Judges the passes of one update, and brings the best one back.

    What is judged is the update as if it had ended there, missed pulls applied; what is put back is
    everything that a pass has written to: weights, the optimizers' memory, and what methods gather
    on their way. So an update that stops comes out, to the bit, as one cut off after so many passes
    (at the learning rates that these had), and one whose last pass is the best as one without a
    judge.

    Args:
        session: of the update.
        held_out: samples that it does not train on.
        patience: passes without a new best after which it is over.
        seed: of the candidates.
    """

    def __init__(self, session: Session, held_out: SampleSet, patience: int, seed: int) -> None:
        self._session = session
        self._held_out = held_out
        self._patience = patience
        self._drawn = session.sampler.draw(np.random.default_rng([seed, 3]), session.device)
        self._passes = 0
        self._best = math.inf
        self._kept = 0
        self._saved: list[Tensor] = []

    def is_over(self) -> bool:
        """Judge the pass that was just gone through; whether there shall be no other."""
        self._passes += 1
        saved = self._session.remember()
        self._session.finish()
        loss = self.loss()
        self._session.go_back(saved)
        if loss < self._best:
            self._best, self._kept, self._saved = loss, self._passes, saved
        return self._passes - self._kept >= self._patience

    def settle(self) -> int:
        """Bring the best pass back.

        Returns:
            Its number, from 1 on. Where no pass had a loss that is a number, the last one stays.
        """
        if not self._kept:
            return self._passes
        self._session.go_back(self._saved)
        return self._kept

    def loss(self) -> float:
        """Weighted mean of the configured loss over the targets held out, nothing dropped."""
        net, total, weight = self._session.net, 0.0, 0.0
        vectors = net.item_vectors()
        for chosen in self._held_out.order(_AT_ONCE):
            batch = self._held_out.batch(chosen, self._session.device)
            wanted = batch.targets >= 0
            weights = batch.weights[wanted]
            if not bool(wanted.any()):
                continue
            places = batch.targets[wanted], self._drawn.rows
            with torch.no_grad():
                loss = self._session.loss(
                    net.queries(batch)[wanted], vectors, places, self._drawn, weights
                )
            total += float(loss) * float(weights.sum())
            weight += float(weights.sum())
        return total / weight if weight else math.nan
