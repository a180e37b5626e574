"""Who has been right of late: the mixer, or one of the sources alone.

A learned mixer can lose to a single source, on a stream it has not met yet or after one has turned.
Every expert's word is kept count of, and the answer follows the experts' weights, so that over any
stretch it earns nearly as much as the best of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MIXER = "mixer"
RATE = 0.02
"""η: what one question is worth."""
LEAD = 2.0
"""How many times the mixer's weight a source's must be for it to lead: after no fewer than 35
questions that it was right about and the mixer was not. The first few happen to be right for
anybody, and whoever leads by them answers everyone."""
SHARE = 1e-3
"""α: the share of the weights that is dealt out anew at each question, so that none is lost."""


@dataclass(frozen=True, slots=True)
class Experts:
    """Weights by Hedge with a fixed share; a value.

    At each question every expert i earns g_i ∈ [0, 1], its reciprocal rank of what came (0 beyond
    the list). w_i ← w_i·exp(η g_i), then w_i ← (1 − α) w_i + α / n, summing to 1. The expected
    earnings of whoever follows an expert drawn by w fall short of the best expert's over the first
    T questions by at most (ln n + (T − 1) ln 1/(1−α)) / η + ηT/8, and over any T in a row, wherever
    they begin, by ln(1/α) / η more; so much is bounded. The answer follows the mixer, or the one
    with the greatest weight where that is twice the mixer's, and how far that falls short is
    measured.

    Attributes:
        names: of the experts.
        weights: one for each, summing to 1.
        earned: Σ g_i.
        followed: Σ g of whoever led before each question.
        questions: T.

    Source: Freund and Schapire, 1997; Herbster and Warmuth, Tracking the Best Expert, 1998; the
    bound is Cesa-Bianchi and Lugosi, Prediction, Learning, and Games, 2006, theorem 5.2 without a
    switch, and since no weight falls below α/n, the same from any question on.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    earned: tuple[float, ...]
    followed: float = 0.0
    questions: int = 0

    @classmethod
    def among(cls, sources: Sequence[str]) -> Experts:
        """The mixer and the sources; the mixer comes first, so that it leads among equals."""
        names = (MIXER, *sources)
        return cls(names, tuple(1.0 / len(names) for _ in names), tuple(0.0 for _ in names))

    def hearing(self, sources: Sequence[str]) -> Experts:
        """The same among other sources: who is new has earned nothing, and the least weight."""
        weights = dict(zip(self.names, self.weights, strict=True))
        earned = dict(zip(self.names, self.earned, strict=True))
        names = (MIXER, *sources)
        dealt = [weights.get(name, SHARE / len(names)) for name in names]
        return Experts(
            names,
            tuple(weight / sum(dealt) for weight in dealt),
            tuple(earned.get(name, 0.0) for name in names),
            self.followed,
            self.questions,
        )

    @property
    def leader(self) -> str:
        """The mixer, or the one with the greatest weight, where that is so much greater."""
        return self.names[_leading(np.asarray(self.weights))]

    @property
    def regret(self) -> float:
        """What following earned less than the best single source, per question; below 0: more."""
        if not self.questions:
            return 0.0
        best = max(self.earned[1:], default=0.0)
        return (best - self.followed) / self.questions

    @property
    def bound(self) -> float:
        """The most that the regret per question of draws by the weights, from the first, can be."""
        if not self.questions:
            return math.inf
        dealt = math.log(len(self.names)) - (self.questions - 1) * math.log1p(-SHARE)
        return dealt / (RATE * self.questions) + RATE / 8.0

    def after(self, gains: Sequence[Mapping[str, float]]) -> Experts:
        """The experts after questions, in their order; who said nothing earned nothing."""
        weights, earned = np.asarray(self.weights), np.asarray(self.earned)
        followed = self.followed
        for gain in gains:
            g = np.asarray([gain.get(name, 0.0) for name in self.names])
            followed += float(g[_leading(weights)])
            earned = earned + g
            weights = weights * np.exp(RATE * g)
            weights = (1.0 - SHARE) * weights / weights.sum() + SHARE / len(weights)
        return Experts(
            self.names,
            tuple(weights.tolist()),
            tuple(earned.tolist()),
            followed,
            self.questions + len(gains),
        )


def _leading(weights: Floats) -> int:
    best = int(np.argmax(weights))
    return best if weights[best] > LEAD * weights[0] else 0
