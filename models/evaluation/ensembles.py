"""Arms in which several networks answer as one."""

from __future__ import annotations

import dataclasses
from collections import deque

import torch

from models.evaluation.arm import Arm, ArmSetup
from models.evaluation.learning import Learner
from models.evaluation.questions import Questions
from models.evaluation.scores import Scores, factored
from models.evaluation.stream import Slice
from models.evaluation.version import Version
from models.ranking.ensemble import joined_vectors


class Ensemble(Learner):
    """The service's own update, answered for by its last versions together.

    A version is what an update ended with, of a period or a part of it. All answer, each with its
    own weights, and the mean of their scores ranks (`joined_vectors`: with items that older ones do
    not know). Nothing is learned differently, and no more than so many versions are kept.

    Source: snapshot ensembles, Huang et al., 2017 (arXiv 1704.00109). Deviations: the snapshots are
    taken where the stream is cut, not at the lows of a cyclic learning rate, so they have learned
    different events; scores are averaged, not probabilities.

    Args:
        setup: as for `Learner`.
        versions: how many answer, K.
    """

    def __init__(self, setup: ArmSetup, *, versions: int = 3) -> None:
        super().__init__(setup)
        self.versions: deque[Version] = deque(maxlen=versions)

    def _freeze(self, learned: Slice) -> None:
        super()._freeze(learned)
        self.versions.append(self.version)
        self._vectors = joined_vectors([version.vectors for version in self.versions])

    def scores(self, questions: Questions) -> Scores:
        queries = [version.queries(questions) for version in self.versions]
        return factored(torch.cat(queries, 1), self._vectors)

    def _bytes_kept(self) -> int:
        """With the weights of the versions before the last."""
        older = list(self.versions)[:-1]
        return super()._bytes_kept() + sum(version.nbytes for version in older)


class Seeds(Arm):
    """The service's own update, learned from several seeds and answered for by all of them.

    Each member is a learner of its own, with its own weights and its own draws; the mean of their
    scores ranks. What is gained over one of them is gained by averaging alone.

    Source: deep ensembles, Lakshminarayanan et al., 2017 (arXiv 1612.01474). Deviation: scores are
    averaged, not probabilities.

    Args:
        setup: as for `Learner`; the first member is that of the setup's seed.
        seeds: how many there are.
    """

    def __init__(self, setup: ArmSetup, *, seeds: int = 2) -> None:
        # far from the seeds that an evaluation repeats with: members are not shared between these
        self._members = [
            Learner(dataclasses.replace(setup, seed=setup.seed + 1_000 * place))
            for place in range(seeds)
        ]

    def fit(self, base: Slice) -> None:
        for member in self._members:
            member.fit(base)
        self._join()

    def update(self, period: Slice) -> None:
        for member in self._members:
            member.update(period)
        self._join()

    def _join(self) -> None:
        self._vectors = joined_vectors([member.version.vectors for member in self._members])

    def scores(self, questions: Questions) -> Scores:
        queries = [member.version.queries(questions) for member in self._members]
        return factored(torch.cat(queries, 1), self._vectors)

    def costs(self) -> dict[str, float]:
        each = [member.costs() for member in self._members]
        return {name: sum(costs[name] for costs in each) for name in each[0]}
