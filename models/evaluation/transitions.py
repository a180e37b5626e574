"""What followed what: a first-order Markov chain, and sequential rules."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from models.evaluation.arm import Arm
from models.evaluation.popularity import counts
from models.evaluation.questions import Questions
from models.evaluation.scores import Scores, SharedScores, SparseScores
from models.evaluation.stream import Slice

HISTORY = 50
"""Items of the history that sequential rules start from."""


class Transitions(Arm):
    """Counts of ordered item pairs; what never followed is ordered by popularity.

    count(a → b) = Σ 1/distance over pairs up to `max_distance` steps apart in one user's stream, a
    basket being one step; score(b) = Σ_a count(a → b) / (steps back of a) over the last `reach`
    steps of the history. Nothing is forgotten and nothing decays.

    Args:
        max_distance: 1 is a Markov chain; 10 are sequential rules.
        reach: 1: the last step alone is asked, as a Markov chain must; else so many.

    Source: Ludewig and Jannach, 2018 (arXiv 1803.09587), section 4.2, `SR`. Deviation: theirs asks
    the last item alone, ours the history where `reach` is above 1, which is better.
    """

    def __init__(self, max_distance: int, reach: int) -> None:
        self.max_distance = max_distance
        self.reach = reach

    def fit(self, base: Slice) -> None:
        self._rest = SharedScores(counts(base))
        self._followed = self._count(base)

    def update(self, period: Slice) -> None:
        popular = counts(period)
        popular[: len(self._rest.scores)] += self._rest.scores
        self._rest = SharedScores(popular)
        followed = self._followed.copy()
        followed.resize(len(popular), len(popular))
        self._followed = followed + self._count(period)

    def _count(self, events: Slice) -> csr_matrix:
        earlier, later, distance = events.pairs(self.max_distance)
        size = events.num_items
        return csr_matrix((1.0 / distance, (earlier, later)), shape=(size, size))

    def scores(self, questions: Questions) -> Scores:
        size = len(self._rest.scores)
        history = questions.histories(limit=HISTORY)
        asked = (history.steps <= self.reach) & (history.items < size)
        weights = 1.0 / history.steps[asked].astype(np.float64)
        start = csr_matrix(
            (weights, (history.owner[asked], history.items[asked])), shape=(len(questions), size)
        )
        answer = start @ self._followed
        return SparseScores(answer.indices, answer.indptr, answer.data, self._rest)

    def costs(self) -> dict[str, float]:
        matrix = self._followed
        parts = (matrix.data, matrix.indices, matrix.indptr, self._rest.scores)
        return {
            "pairs_kept": float(matrix.nnz),
            "bytes_kept": float(sum(part.nbytes for part in parts)),
        }
