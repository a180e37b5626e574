"""The second stage of ranking: what sources propose and the network ranks, in the mixer's order.

Belongs to the ranking thread. Candidates are rows of the fast memory's mirror; an item that only
the network knows stands behind its last row, for as long as one answer is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from models.content.texts import Shelf, Texts
from models.mixing.blend import NETWORK, Blend
from models.mixing.features import Features, place_of_rank
from models.mixing.mixing import Mixing
from models.sources import Proposal, Question
from models.sources.question import Floats, Ints
from models.vocabulary import Vocabulary
from service.serving.content_newcomers import Ranked
from service.serving.crossing import Crossing
from service.serving.memory_feed import Mirror
from service.serving.model import ServingModel
from service.serving.retrieval import Found, Want

_NAMED = 3
_BEFORE = 1e-6
_PACE_S = 60.0
"""Between the items of a history that comes without times."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """Candidates in the mixer's order."""

    ranked: Ranked
    spoke: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The sources that have an item among their best, those that rank it highest first; none where
    the network brought it in, and ranks more above it that the answer may not hold."""
    drawn: tuple[str, ...] = ()
    """What a draw would put above some of them, best first; see `service.serving.exploring`."""


class Mixture:
    """Ranks what the sources and the network propose.

    Args:
        mirror: gives the fast memory and its items as they are now.
        blend: the sources that are asked.
        shelf: what items say of themselves; None where nobody reads it.
    """

    def __init__(
        self, mirror: Callable[[], Mirror], blend: Blend, shelf: Shelf | None = None
    ) -> None:
        self._mirror = mirror
        self._shelf = shelf
        self._blend = blend
        self._untaught = Mixing.initial(blend.names)
        self._crossing = Crossing(Vocabulary(), Vocabulary())

    @property
    def top(self) -> int:
        """Candidates that each source, and the network, brings in."""
        return self._blend.top

    def knows(self, want: Want) -> bool:
        """Whether anybody is to be asked, and by what; cheap enough for the event loop.

        Where no source is named the network answers alone, in its own order.
        """
        if not self._blend.sources:
            return False
        items = self._mirror().items
        return want.like is None and any(item in items for item in want.history)

    def mix(self, want: Want, found: Found) -> Mixed:
        """The candidates of all, those first that the mixer would show first.

        What the network ranked lower than a source brings in follows behind them in its own order.
        An item that never happened stands at least where the network puts it, before the first of
        those that it ranks lower: in no lesson the network speaks of such.

        Args:
            want: its history holds an item that the memory knows.
            found: what the network ranked; of no query where it knows nothing.
        """
        mirror = self._mirror()
        crossing = self._crossed(mirror.items, want.model.items)
        texts = None if self._shelf is None else self._shelf.texts(mirror.items)
        network = _Indexed(want, found, mirror, texts, crossing, self._blend.top)
        question = _question(want, mirror, texts)
        drafted, said = self._blend.draft(mirror.memory, question, network)
        mixing = want.model.mixing or self._untaught
        ids, exclude = network.ids(drafted.items), want.eligible.exclude
        likely = _likely(said[NETWORK], drafted.items)
        likely[[one in exclude for one in ids]] = 0.0  # only what may be shown
        scores = _placed(mixing.scores(drafted.features), likely, network.are_new(drafted.items))
        order = np.argsort(-scores, kind="stable")
        first = list(map(ids.__getitem__, order.tolist()))
        ranked = list(zip(first, scores[order].tolist(), strict=True))
        spoke = _Spoke(first, drafted.features[order], self._blend.names)
        return Mixed(_behind(ranked, found.ranked), spoke)

    def _crossed(self, items: Vocabulary, learned: Vocabulary) -> Crossing:
        """From the memory's items to a version's; made anew when either is another."""
        if self._crossing.origin is not items or self._crossing.target is not learned:
            self._crossing = Crossing(items, learned)
        return self._crossing

    def covisited(self, item_id: str, limit: int, allows: Callable[[str], bool]) -> Ranked:
        """What was met together with an item, by w(a → b) / √count(b); nothing if it is not known.

        Args:
            allows: whether an answer may hold an item.
        """
        mirror = self._mirror()
        row = mirror.items.row(item_id)
        memory = mirror.memory
        if not 0 <= row < memory.num_items:
            return []
        neighbours = memory.covisits.neighbours[row]
        there = neighbours >= 0
        items = neighbours[there].astype(np.int64)
        popular = np.maximum(memory.counts.values[items, 0], 1.0)
        scores = memory.covisits.weights[row][there] / np.sqrt(popular)
        order = np.argsort(-scores, kind="stable").tolist()
        ranked = ((mirror.items.id(int(items[at])), float(scores[at])) for at in order)
        return [scored for scored in ranked if allows(scored[0])][:limit]

    def reasons(self, want: Want, item_ids: Sequence[str]) -> list[tuple[str, ...]]:
        """For each item, up to three of the history that it was met with most, strongest first."""
        mirror = self._mirror()
        graph = mirror.memory.covisits
        history = [item for item in dict.fromkeys(reversed(want.history)) if item in mirror.items]
        rows = np.asarray([mirror.items.row(item) for item in history], dtype=np.int64)
        found = []
        for item_id in item_ids:
            met = graph.neighbours[rows] == mirror.items.row(item_id)
            weights = np.where(met, graph.weights[rows], 0.0).sum(axis=1)
            best = np.argsort(-weights, kind="stable")[:_NAMED]
            found.append(tuple(history[at] for at in best.tolist() if weights[at] > 0.0))
        return found


class _Indexed:
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
        row_of = self._items.row if texts is None else texts.row
        rows = np.asarray([row_of(item_id) for item_id, _ in ranked], dtype=np.int64)
        strange = rows < 0
        rows[strange] = self._end + np.arange(int(strange.sum()))
        self._strangers = [ranked[at][0] for at in np.flatnonzero(strange).tolist()]
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

    def are_new(self, items: Ints) -> npt.NDArray[np.bool_]:
        """Which [n] have never happened: neither memory nor version knows them."""
        new = items >= self._size
        new[new] = self._learned(items[new]) < 0
        return new

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
            logits[known] = found.double().numpy()
        if len(self._rows):  # whom the version has no row for is ranked all the same
            place = np.minimum(np.searchsorted(self._rows, items), len(self._rows) - 1)
            mine = self._rows[place] == items
            logits[mine] = self._logits[place[mine]]
        best = logits.max(initial=-np.inf)
        if not np.isfinite(best):
            return np.zeros(len(items))
        return np.asarray(np.exp(logits - best), dtype=np.float64)


def _question(want: Want, mirror: Mirror, texts: Texts | None) -> Question:
    rows = mirror.items.rows(want.history)
    known = (rows >= 0) & (rows < mirror.memory.num_items)
    now_s = want.now_ms / 1_000.0
    if want.times_ms:
        times = np.asarray(want.times_ms, dtype=np.float64) / 1_000.0
    else:
        times = now_s - _PACE_S * np.arange(len(rows), 0, -1, dtype=np.float64)
    return Question(rows[known], times[known], now_s, want.user_key, texts)


def _likely(said: Proposal, items: Ints) -> Floats:
    """What was said of candidates [C], 0 of those that it does not name."""
    likely = np.zeros(len(items))
    likely[np.searchsorted(items, said.items)] = said.scores
    return likely


def _placed(scores: Floats, network: Floats, new: npt.NDArray[np.bool_]) -> Floats:
    """Scores [C] of the mixer; those of new items at least as high as of any that the network
    ranks, and ranks below them."""
    judged = ~new & (network > 0.0)
    if not new.any() or not judged.any():
        return scores
    order = np.argsort(network[judged], kind="stable")
    lower, best = network[judged][order], np.maximum.accumulate(scores[judged][order])
    below = np.searchsorted(lower, network[new], side="left") - 1
    lifted = best[np.maximum(below, 0)] + _BEFORE * network[new]
    placed = scores.astype(np.float64)
    placed[new] = np.where(below >= 0, np.maximum(placed[new], lifted), placed[new])
    return placed


class _Spoke(Mapping[str, tuple[str, ...]]):
    """By candidate, the sources that rank it, the one that ranks it highest first; few are asked
    for, and only when an answer is explained."""

    def __init__(self, ids: Sequence[str], features: Features, names: Sequence[str]) -> None:
        self._ids, self._features, self._names = ids, features, names

    def __getitem__(self, item_id: str) -> tuple[str, ...]:
        try:
            told = self._features[self._ids.index(item_id)]
        except ValueError:
            raise KeyError(item_id) from None
        ranks = told[[place_of_rank(self._names, name) for name in self._names]]
        best = np.argsort(-ranks, kind="stable")[:_NAMED]
        return tuple(self._names[one] for one in best.tolist() if ranks[one] > 0.0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def _behind(ranked: Ranked, others: Ranked) -> Ranked:
    """`ranked`, and behind it the `others` that it lacks, their scores moved below its last."""
    have = {item_id for item_id, _ in ranked}
    rest = [scored for scored in others if scored[0] not in have]
    if not ranked or not rest:
        return [*ranked, *rest]
    last = ranked[-1][1]
    down = min(0.0, last - rest[0][1])
    return [*ranked, *((item_id, min(last, score + down)) for item_id, score in rest)]
