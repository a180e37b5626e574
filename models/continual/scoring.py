"""Where a state ranks the targets of samples: the common ground of gate and test-then-train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.batches import SampleSet
from models.continual.state import LearningState
from models.interactions import Rows, Sample
from models.ranking.metrics import Ranks, target_ranks

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Scored:
    """One line for each target, samples in the order given, targets oldest first.

    `ranks` [n] count from 1, infinity where the target is not among the items; `owners` [n] are
    indices of samples.
    """

    ranks: Ranks
    owners: Rows

    def only(self, kept: npt.NDArray[np.bool_]) -> Scored:
        """The targets marked in `kept` [n] alone."""
        return Scored(self.ranks[kept], self.owners[kept])


def score(
    state: LearningState, samples: Sequence[Sample], among: npt.NDArray[np.int64] | None = None
) -> Scored:
    """Rank every target of `samples` in full, each seen from the items before it, and through the
    head of its event type where it has one.

    Args:
        state: whose net and vocabularies are asked.
        samples: any.
        among: rows of the items to rank among, ascending; None ranks among all.
    """
    types = state.net.heads.types
    found = SampleSet.of(samples, state.items.rows, state.users.rows, types)
    owners = np.repeat(np.arange(len(found)), found.num_targets)
    ranks = np.full(found.positions, np.inf)
    if not len(found) or not len(state.net.items):
        return Scored(ranks, owners)
    vectors = state.net.item_vectors()
    column = torch.arange(len(vectors))
    if among is not None:
        rows = torch.from_numpy(among)
        vectors, column = vectors[rows], torch.full((len(vectors),), -1)
        column[rows] = torch.arange(len(rows))
    first = np.cumsum(found.num_targets) - found.num_targets
    for chosen in found.order(_AT_ONCE):
        batch = found.batch(chosen)
        queries = state.net.queries(batch)
        steps, lengths = batch.targets.shape[1], np.diff(found.offsets)[chosen]
        place = np.arange(steps)[None, :] - (lengths - found.num_targets[chosen])[:, None]
        wanted = (place >= 0) & (np.arange(steps)[None, :] < lengths[:, None])
        targets = batch.targets[torch.from_numpy(wanted)]
        targets = torch.where(targets >= 0, column[targets.clamp(min=0)], -1)
        at = (first[chosen][:, None] + place)[wanted]
        ranks[at] = target_ranks(queries[torch.from_numpy(wanted)], vectors, targets)
    return Scored(ranks, owners)
