"""The network's word on one question, in the rows of the memory's mirror."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from models.content.texts import Texts
from models.ordered import Bools, among
from models.sources import Proposal
from models.sources.question import Floats, Ints
from service.serving.crossing import Crossing
from service.serving.memory_feed import Mirror
from service.serving.model import ServingModel
from service.serving.retrieval import Found, Want

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
        rows = self.rows([item_id for item_id, _ in ranked])
        strange = np.flatnonzero(rows < 0)
        rows[strange] = self._end + np.arange(len(strange))
        self._strangers = [ranked[at][0] for at in strange.tolist()]
        order = np.argsort(rows)
        self._rows: Ints = rows[order]
        self._logits: Floats = np.asarray([score for _, score in ranked], dtype=np.float64)[order]

    def id(self, item: int) -> str:
        """The id of a row."""
        if item >= self._end:
            return self._strangers[item - self._end]
        return self._items.id(item) if self._texts is None else self._texts.id(item)

    def placed(self, scores: Floats, items: Ints, said: Proposal, exclude: Iterable[str]) -> Floats:
        """Scores [C] of the mixer; those of items that never happened at least as high as of any
        that the network ranks, and ranks below them.

        Args:
            items: [C], ascending.
            said: what the network says of them.
            exclude: items that may not be shown, above which nothing need stand.
        """
        new = self._are_new(said.items)
        if not new.any():
            return scores
        place, there = among(said.items, self.rows(exclude))
        judged = ~new
        judged[place[there]] = new[place[there]] = False
        where = np.searchsorted(items, said.items)
        raised = scores.astype(np.float64)
        raised[where[new]] = _raised(
            raised[where[new]], said.scores[new], raised[where[judged]], said.scores[judged]
        )
        return raised

    def _are_new(self, items: Ints) -> Bools:
        """Which [n] have never happened: neither memory nor version knows them."""
        new = items >= self._size
        if new.any():
            new[new] = self._learned(items[new]) < 0
        return new

    def rows(self, item_ids: Iterable[str]) -> Ints:
        """Those of ids, below 0 where one neither happened nor says anything of itself."""
        return self._items.rows(item_ids) if self._texts is None else self._texts.rows_of(item_ids)

    def _learned(self, items: Ints) -> Ints:
        """The version's rows, which a stranger may have, too; −1 where it has none."""
        known = int(np.searchsorted(items, self._size))
        strangers = self._model.items.rows(map(self.id, items[known:].tolist()))
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


def _raised(scores: Floats, likely: Floats, theirs: Floats, network: Floats) -> Floats:
    """Scores of what the network holds for so likely, and those of others; see `placed`."""
    order = np.argsort(network, kind="stable")
    below = np.searchsorted(network[order], likely, side="left") - 1
    some = below >= 0
    best = np.maximum.accumulate(theirs[order])[below[some]]
    raised = scores.copy()
    raised[some] = np.maximum(scores[some], best + _BEFORE * likely[some])
    return raised
