"""A learned state as it answers: its item vectors in the rows of a stream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.continual.state import LearningState
from models.evaluation.questions import Ints, Questions
from models.evaluation.stream import Slice
from models.nets import Recommender
from models.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Version:
    """What answering needs of a state; what only learning needs is let go.

    Attributes:
        net: its weights.
        users: whose rows those are.
        rows: [N] the net's row of each item that the stream had shown, −1 for none.
        vectors: [N, D] of the same items; an item without a row is NaN and never ranked.
    """

    net: Recommender
    users: Vocabulary
    rows: Ints
    vectors: Tensor

    @classmethod
    def of(cls, state: LearningState, learned: Slice) -> Self:
        """A state that has learned everything up to the end of `learned`."""
        vectors = state.net.item_vectors().cpu()
        rows = torch.from_numpy(state.items.rows(learned.stream.items.ids[: learned.num_items]))
        laid_out = torch.full((len(rows), vectors.shape[1]), torch.nan)
        laid_out[rows >= 0] = vectors[rows[rows >= 0]]
        return cls(state.net, state.users, rows.numpy(), laid_out)

    def with_vectors(self, vectors: npt.NDArray[np.float32]) -> Version:
        """The same, ranked by other vectors [N, D] of the net's rows; queries stay."""
        known = self.rows >= 0
        laid_out = self.vectors.clone()
        laid_out[torch.from_numpy(known)] = torch.from_numpy(vectors[self.rows[known]])
        return replace(self, vectors=laid_out)

    @property
    def nbytes(self) -> int:
        """Of its weights."""
        return sum(tensor.nbytes for tensor in self.net.snapshot().values())

    def queries(self, questions: Questions) -> Tensor:
        """[B, D] on the CPU: users as they stood then, through the heads of the types asked for.

        Items of their histories that it does not know are passed over.
        """
        history = questions.histories(limit=self.net.max_history)
        known = history.items < len(self.rows)
        rows = np.full(len(history.items), -1, dtype=np.int64)
        rows[known] = self.rows[history.items[known]]
        listed, offsets = rows.tolist(), history.offsets.tolist()
        ids = questions.stream.users.ids
        queries = self.net.encode(
            [listed[start:stop] for start, stop in pairwise(offsets)],
            self.users.rows(ids[user] for user in questions.users).tolist(),
            self.net.heads.numbers(questions.types),
        )
        return queries.cpu()
