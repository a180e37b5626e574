"""Counting: what everybody takes, what everybody took of late, what this user takes."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from models.evaluation.arm import Arm
from models.evaluation.questions import Questions
from models.evaluation.scores import Scores, SharedScores, SparseScores
from models.evaluation.stream import Slice

BASE_TAIL = 1.0 / 12.0
"""Share of the base that counts as its last period: 60 % of a stream holds twelve of its 5 %."""


def counts(events: Slice) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How often each item [N] occurs in `events`."""
    return np.bincount(events.item, minlength=events.num_items).astype(np.float64)


class Popularity(Arm):
    """Events per item since the beginning."""

    def fit(self, base: Slice) -> None:
        self._order = SharedScores(counts(base))

    def update(self, period: Slice) -> None:
        total = counts(period)
        total[: len(self._order.scores)] += self._order.scores
        self._order = SharedScores(total)

    def scores(self, questions: Questions) -> Scores:
        return self._order


class RecentPopularity(Arm):
    """Events per item in the last update alone: a period, or so much less as it is cut into."""

    def fit(self, base: Slice) -> None:
        self._order = SharedScores(counts(base.tail(BASE_TAIL)))

    def update(self, period: Slice) -> None:
        self._order = SharedScores(counts(period))

    def scores(self, questions: Questions) -> Scores:
        return self._order


class OwnFrequency(Arm):
    """What the user took most often, from the live history; equals by recent popularity."""

    def __init__(self) -> None:
        self._rest = RecentPopularity()
        self._num_items = 0

    def fit(self, base: Slice) -> None:
        self._rest.fit(base)
        self._num_items = base.num_items

    def update(self, period: Slice) -> None:
        self._rest.update(period)
        self._num_items = period.num_items

    def scores(self, questions: Questions) -> Scores:
        history = questions.histories()
        known = history.items < self._num_items
        taken = csr_matrix(
            (np.ones(known.sum()), (history.owner[known], history.items[known])),
            shape=(len(questions), self._num_items),
        )
        rest = self._rest.scores(questions)
        if not isinstance(rest, SharedScores):
            raise TypeError("popularity answers everybody the same")
        return SparseScores(taken.indices, taken.indptr, taken.data, rest)
