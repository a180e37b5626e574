"""The second stage of ranking: what sources propose and the network ranks, in the mixer's order.

Belongs to the ranking thread. Candidates are rows of the fast memory's mirror; an item that only
the network knows stands behind its last row, for as long as one answer is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from models.content.texts import Shelf, Texts
from models.mixing.blend import NETWORK, Blend
from models.mixing.mixing import Mixing
from models.sources import Question
from models.sources.question import Ints
from models.vocabulary import Vocabulary
from service.serving.content_newcomers import Ranked
from service.serving.crossing import Crossing
from service.serving.indexed import Indexed
from service.serving.memory_feed import Mirror
from service.serving.mixed import Mixed, Named, Spoke
from service.serving.retrieval import Found, Want
from service.serving.rules import Scored

_NAMED = 3
_PACE_S = 60.0
"""Between the items of a history that comes without times."""


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
        network = Indexed(want, found, mirror, texts, crossing, self.top)
        question = _question(want, mirror, texts)
        allowed = _allowed(want, found, network, len(mirror.items))
        drafted, said = self._blend.draft(mirror.memory, question, network, allowed)
        mixing = want.model.mixing or self._untaught
        scores = mixing.scores(drafted.features)
        scores = network.placed(scores, drafted.items, said[NETWORK], want.eligible.exclude)
        order = np.argsort(-scores, kind="stable")
        ranked = Named(drafted.items[order], scores[order], network.id)
        spoke = Spoke(ranked, drafted.features, order, self._blend.names)
        return Mixed(_behind(ranked, found.ranked[self.top :]), spoke)

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


def _question(want: Want, mirror: Mirror, texts: Texts | None) -> Question:
    rows = mirror.items.rows(want.history)
    known = (rows >= 0) & (rows < mirror.memory.num_items)
    now_s = want.now_ms / 1_000.0
    if want.times_ms:
        times = np.asarray(want.times_ms, dtype=np.float64) / 1_000.0
    else:
        times = now_s - _PACE_S * np.arange(len(rows), 0, -1, dtype=np.float64)
    return Question(rows[known], times[known], now_s, want.user_key, texts)


def _allowed(want: Want, found: Found, network: Indexed, size: int) -> Ints | None:
    """The rows, ascending, that will do, where they are few: a source's best hold none of them."""
    items = found.allowed
    if items is None and (items := want.eligible.narrowed(size)) is None:
        return None
    rows = network.rows(items)
    return np.sort(rows[rows >= 0])


def _behind(ranked: Named, others: Ranked) -> Sequence[Scored]:
    """`ranked`, and behind it the `others` that it lacks, their scores moved below its last."""
    if not others:
        return ranked
    have = {item_id for item_id, _ in ranked}
    rest = [scored for scored in others if scored[0] not in have]
    if not len(ranked) or not rest:
        return [*ranked, *rest]
    last = ranked[-1][1]
    down = min(0.0, last - rest[0][1])
    return [*ranked, *((item_id, min(last, score + down)) for item_id, score in rest)]
