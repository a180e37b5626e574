"""Arms that read what items say of themselves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.content.features import Content, HashedTokens, Row
from models.content.neighbours import ContentIndex
from models.content.tower import Tower, foretold
from models.evaluation.arm import Arm, ArmSetup
from models.evaluation.learning import Learner
from models.evaluation.popularity import counts
from models.evaluation.questions import Questions
from models.evaluation.scores import Scores, SharedScores, SparseScores
from models.evaluation.stream import Slice

HISTORY = 50
PROPOSED = 500
FEW = 5.0
"""Events from which on an item speaks for itself, as `content.few_events` of the settings."""


class ContentNeighbours(Arm):
    """The items whose text is closest to that of the history, the latest item counting most.

    An item `s` steps back weighs 1/s; what has no word in common with the history stands behind,
    by popularity.

    Args:
        setup: with the contents of items, by id.
    """

    def __init__(self, setup: ArmSetup) -> None:
        self._rows = _required(setup)

    def fit(self, base: Slice) -> None:
        self._freeze(base)

    def update(self, period: Slice) -> None:
        self._freeze(period)

    def _freeze(self, learned: Slice) -> None:
        """Let the items of the stream up to here be ranked."""
        ids = learned.stream.items.ids[: learned.num_items]
        vectoriser = HashedTokens()
        index = ContentIndex.empty(vectoriser.width, max(1, len(ids)))
        self._index = index.with_rows({i: self._rows[i] for i in ids if i in self._rows})
        self._places = self._index.items.rows(ids)
        self._items = learned.stream.items.rows(self._index.items.ids)
        self._rest = SharedScores(counts(learned.so_far))

    def scores(self, questions: Questions) -> Scores:
        history = questions.histories(limit=HISTORY)
        answers = []
        for row in range(len(questions)):
            span = slice(history.offsets[row], history.offsets[row + 1])
            known = history.items[span] < len(self._places)
            places = self._places[history.items[span][known]]
            answers.append(self._index.propose(places, 1.0 / history.steps[span][known], PROPOSED))
        lengths = [len(places) for places, _ in answers]
        return SparseScores(
            self._items[np.concatenate([places for places, _ in answers])],
            np.concatenate(([0], np.cumsum(lengths))),
            np.concatenate([values for _, values in answers]),
            self._rest,
        )


class ContentLearner(Learner):
    """The service's own update, items with few events answered for by what their text foretells.

    Args:
        setup: with the contents of items, by id.
        few: see `foretold`.
    """

    def __init__(self, setup: ArmSetup, few: float = FEW) -> None:
        super().__init__(setup)
        self._rows = _required(setup)
        self._few = few

    def _freeze(self, learned: Slice) -> None:
        super()._freeze(learned)
        items = self._state.items
        index = ContentIndex.empty(HashedTokens().width, max(1, len(items)))
        index = index.with_rows({i: self._rows[i] for i in items.ids if i in self._rows})
        events = self._state.counts.numpy()
        vectors = self._state.net.item_vectors().cpu().numpy()
        rows = index.rows(items.ids)
        tower = Tower.fit(rows, vectors, events, normalize=self._state.net.normalize, few=self._few)
        if tower is not None:
            vectors = foretold(tower, rows, vectors, events, self._few)
            self.version = self.version.with_vectors(vectors)


def features(setup: ArmSetup) -> Mapping[str, Row]:
    """Rows of the items that say something of themselves, by id."""
    contents: Mapping[str, Content] = setup.contents
    return dict(zip(contents, HashedTokens().rows(list(contents.values())), strict=True))


def _required(setup: ArmSetup) -> Mapping[str, Row]:
    if not setup.contents:
        raise ValueError("this arm reads what items say of themselves: name a file with --items")
    return features(setup)
