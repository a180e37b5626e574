"""The network's word on one question, in the rows of the memory's mirror."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import torch

from models.content.texts import Texts
from models.sources import Proposal
from models.sources.question import Floats, Ints, among
from service.serving.crossing import Crossing
from service.serving.memory_feed import Mirror
from service.serving.model import ServingModel
from service.serving.retrieval import Found, Want

Bools = npt.NDArray[np.bool_]

_BEFORE = 1e-6


class Indexed:
    """What the network says of one question, in rows of the memory and, behind them, of strangers:
    first those that say something of themselves."""

    def __init__(
        self,
        want: Want,
        found: Found,
        mirror: Mirror,
        texts: Texts | None,
        crossing: Crossing,
        top: int,
    ) -> None:
        self._crossing = crossing
        self._model: ServingModel = want.model
        self._items = mirror.items
        self._size = mirror.memory.num_items
        self._texts = texts
        self._end = len(self._items) if texts is None else texts.end
        self._query = found.query
        ranked = found.ranked[:top]
        rows = self._rows_of([item_id for item_id, _ in ranked])
        strange = np.flatnonzero(rows < 0)
        rows[strange] = self._end + np.arange(len(strange))
        self._strangers = [ranked[at][0] for at in strange.tolist()]
        order = np.argsort(rows)
        self._rows: Ints = rows[order]
        self._logits: Floats = np.asarray([score for _, score in ranked], dtype=np.float64)[order]

    def ids(self, items: Ints) -> list[str]:
        """The ids of rows, which ascend."""
        met, told = np.searchsorted(items, (len(self._items), self._end)).tolist()
        by_text = () if self._texts is None else map(self._texts.id, items[met:told].tolist())
        return [
            *map(self._items.ids.__getitem__, items[:met].tolist()),
            *by_text,
            *map(self._strangers.__getitem__, (items[told:] - self._end).tolist()),
        ]

    def are_new(self, items: Ints) -> Bools:
        """Which [n] have never happened: neither memory nor version knows them."""
        new = items >= self._size
        new[new] = self._learned(items[new]) < 0
        return new

    def allowed(self, said: Proposal, exclude: Collection[str]) -> Proposal:
        """What was said of the items that are not excluded."""
        place, there = among(said.items, self._rows_of(exclude))
        kept = np.ones(len(said), dtype=np.bool_)
        kept[place[there]] = False
        return Proposal(said.items[kept], said.scores[kept])

    def _rows_of(self, item_ids: Collection[str]) -> Ints:
        """Below 0 for those that neither happened nor say anything of themselves."""
        return self._items.rows(item_ids) if self._texts is None else self._texts.rows_of(item_ids)

    def _learned(self, items: Ints) -> Ints:
        """The version's rows, which a stranger may have, too; −1 where it has none."""
        known = int(np.searchsorted(items, self._size))
        strangers = self._model.items.rows(self.ids(items[known:]))
        return np.concatenate((self._crossing.rows(items[:known]), strangers))

    def best(self, k: int) -> Proposal:
        if not len(self._rows):
            return Proposal(self._rows, self._logits)
        return Proposal(self._rows, np.exp(self._logits - self._logits.max()))

    def of(self, items: Ints) -> Floats:
        logits: Floats = np.full(len(items), -np.inf)
        if self._query is not None:
            rows = self._learned(items)
            known = np.flatnonzero(rows >= 0)
            with torch.inference_mode():
                learned = torch.from_numpy(rows[known])
                found = self._model.vectors.index_select(0, learned) @ self._query
            logits[known] = found.numpy()
        place, there = among(items, self._rows)  # whom the version has no row for is ranked, too
        logits[place[there]] = self._logits[there]
        best = logits.max(initial=-np.inf)
        if not np.isfinite(best):
            return np.zeros(len(items))
        return np.asarray(np.exp(logits - best), dtype=np.float64)


def placed(scores: Floats, items: Ints, said: Proposal, new: Bools) -> Floats:
    """Scores [C] of the mixer; those of new items at least as high as of any that the network
    ranks, and ranks below them.

    Args:
        items: [C], ascending.
        said: by the network, of those that may be shown.
        new: [C], which of them have never happened.
    """
    place = np.searchsorted(items, said.items)
    fresh, judged = (np.flatnonzero(of_these) for of_these in (new[place], ~new[place]))
    if not len(fresh) or not len(judged):
        return scores
    order = judged[np.argsort(said.scores[judged], kind="stable")]
    best = np.maximum.accumulate(scores[place[order]])
    below = np.searchsorted(said.scores[order], said.scores[fresh], side="left") - 1
    lifted = best[np.maximum(below, 0)] + _BEFORE * said.scores[fresh]
    found: Floats = scores.astype(np.float64)
    rising = place[fresh][below >= 0]
    found[rising] = np.maximum(found[rising], lifted[below >= 0])
    return found
