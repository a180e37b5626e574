"""The rules, last and on every path: what an answer may hold, and its making from ranked lists.

Whatever ranks hands in items and scores, best first, in the order of their sources; it may ask
`Eligibility` beforehand, to hand in enough. Nothing reaches an answer but through `Selection`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from torch import Tensor

from service.domain.recommendations import Query, RecommendedItem
from service.domain.rules import CATEGORIES, ITEM_ID, NO_RULES, Rules, Value, Wanted
from service.serving.boosts import boosted
from service.serving.catalogue import CatalogueView, Entry
from service.serving.diversity import diversified

Scored = tuple[str, float]
"""An item id and its score; lists of them fall in score."""

Vectors = Callable[[Sequence[str]], Tensor | None]
"""Item ids [P] to their vectors [P, D], zero where an item has none; None where none has."""

_DEEP = 1_000
"""The best so many candidates of each source are within reach of a boost."""
_DIVERSE_SHARE = 5
"""Candidates per place among which diversity chooses."""
_NARROW_SHARE = 4
_UNLISTED = Entry()


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Which items one answer may hold, by one view of the catalogue at one moment.

    An item that only events name has no categories, tags or attributes, and is always available.
    """

    view: CatalogueView
    now_ms: int = 0
    """What is published later is not there yet."""
    categories: frozenset[str] = frozenset()
    categories_all: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    rules: Rules = NO_RULES

    @classmethod
    def of(
        cls, query: Query, view: CatalogueView, now_ms: int, seen: Iterable[str] = ()
    ) -> Eligibility:
        """What `query` allows.

        Args:
            seen: what is not wanted again, which counts if the query leaves it out.
        """
        exclude = query.exclude.union(seen) if query.exclude_seen else query.exclude
        return cls(view, now_ms, query.categories, query.categories_all, exclude, query.rules)

    def allows(self, item_id: str) -> bool:
        if item_id in self.exclude:
            return False
        entry = self.view.entry(item_id) or _UNLISTED
        if entry.hidden or entry.from_ms > self.now_ms:
            return False
        if self.categories and self.categories.isdisjoint(entry.categories):
            return False
        if self.categories_all and not self.categories_all <= entry.categories:
            return False
        return self.rules is NO_RULES or self._ruled_in(item_id, entry)

    def _ruled_in(self, item_id: str, entry: Entry) -> bool:
        for wanted in self.rules.required:
            if not _matches(item_id, entry, wanted):
                return False
        return not any(_matches(item_id, entry, unwanted) for unwanted in self.rules.excluded)

    def narrowest(self) -> tuple[int, Wanted] | None:
        """The condition that the fewest items meet, and how many do, never too few.

        None where every item must be looked at.
        """
        counted = [(self._count(*wanted), wanted) for wanted in self._conditions()]
        return min(counted, key=lambda found: found[0], default=None)

    def narrowed(self, size: int) -> list[str] | None:
        """All items that will do, where a condition leaves fewer than a quarter of `size`.

        None where it does not, and who ranks had better go by rank and leave out what will not do.
        """
        narrowest = self.narrowest()
        if narrowest is None or narrowest[0] * _NARROW_SHARE >= size:
            return None
        field, values = narrowest[1]
        meeting: Iterable[str] = self.rules.item_ids or ()
        if field != ITEM_ID:
            meeting = (item_id for _, item_id in self.view.newest(values, field))
        return [item_id for item_id in meeting if self.allows(item_id)]

    def _conditions(self) -> Iterator[Wanted]:
        if self.categories:
            yield CATEGORIES, self.categories
        for name in self.categories_all:
            yield CATEGORIES, frozenset({name})
        yield from self.rules.required

    def _count(self, field: str, values: frozenset[Value]) -> int:
        return len(values) if field == ITEM_ID else self.view.count(values, field)


class Caps:
    """Counts the items of an answer by category, and keeps them below a cap.

    Args:
        most: items that share any category; None: as many as there are.
    """

    def __init__(self, view: CatalogueView, most: int | None) -> None:
        self._view = view
        self._most = most
        self._counts: Counter[str] = Counter()

    def fits(self, item_id: str) -> bool:
        """Whether the answer may hold the item beside those it holds; once not, never again."""
        if self._most is None:
            return True
        held = self._counts.get
        for name in self._categories(item_id):
            if held(name, 0) >= self._most:
                return False
        return True

    def admit(self, item_id: str) -> bool:
        """Whether it fits; if so, it is one of the answer's items from now on."""
        if self._most is None:
            return True
        if not self.fits(item_id):
            return False
        self._counts.update(self._categories(item_id))
        return True

    def _categories(self, item_id: str) -> frozenset[str]:
        return (self._view.entry(item_id) or _UNLISTED).categories


def is_plain(query: Query) -> bool:
    """Whether an answer needs no more candidates than it has places, as far as `query` tells."""
    return query.rules is NO_RULES and not query.diversity and query.max_per_category is None


def depth(query: Query) -> int:
    """How many eligible candidates of a source the rules choose from, where it has as many."""
    if query.rules.boosts:
        return max(query.limit, _DEEP)
    return query.limit * (_DIVERSE_SHARE if query.diversity > 0 else 1)


def ample(query: Query) -> int:
    """`depth` for a source that is asked once, and cannot tell what a cap will leave."""
    return depth(query) if query.max_per_category is None else max(query.limit, _DEEP)


class Selection:
    """An answer in the making: it takes from ranked lists, source by source, until it is full.

    Args:
        vectors: what diversity compares items by.
    """

    def __init__(self, query: Query, eligible: Eligibility, vectors: Vectors) -> None:
        self.items: list[RecommendedItem] = []
        self._query = query
        self._eligible = eligible
        self._vectors = vectors
        self._held: set[str] = set()
        self._caps = Caps(eligible.view, query.max_per_category)
        self._plain = not query.rules.boosts and not query.diversity

    @property
    def full(self) -> bool:
        return len(self.items) >= self._query.limit

    def take(self, ranked: Iterable[Scored], source: str, most: int | None = None) -> None:
        """Add what the rules allow of `ranked`, in the order that they give it.

        Args:
            ranked: best first; read no further than needed.
            most: items that are added, at most; None: as many as there are places.
        """
        left = self._query.limit - len(self.items)
        places = left if most is None else min(left, most)
        if not places:
            return
        for item_id, score in self._arranged(self._candidates(ranked)):
            if self._caps.admit(item_id):
                self.items.append(RecommendedItem(item_id, score, source))
                self._held.add(item_id)
                places -= 1
                if not places:
                    return

    def _candidates(self, ranked: Iterable[Scored]) -> Iterator[Scored]:
        """What may be allowed, each once. What is looked at and not taken, the next source may
        still bring in."""
        met, allows = self._held.copy(), self._eligible.allows
        for scored in ranked:
            item_id = scored[0]
            if item_id not in met and allows(item_id):
                met.add(item_id)
                yield scored

    def _arranged(self, candidates: Iterator[Scored]) -> Iterator[Scored]:
        """Boosts first, then diversity among the foremost; what is beyond their reach follows."""
        query = self._query
        if self._plain:
            return candidates
        pool = list(islice(candidates, depth(query)))
        if query.rules.boosts:
            pool = boosted(pool, self._factor)
        if not query.diversity:
            return chain(pool, candidates)
        reach = query.limit * _DIVERSE_SHARE
        return chain(self._diverse(pool[:reach]), pool[reach:], candidates)

    def _factor(self, item_id: str) -> float:
        """The product of the biases that the item meets."""
        entry = self._eligible.view.entry(item_id) or _UNLISTED
        rules = self._query.rules
        met: set[int] = set()
        for field, meant in rules.boosts.items():
            for value in (item_id,) if field == ITEM_ID else entry.values(field):
                met.update(meant.get(value, ()))
        return math.prod(rules.biases[number] for number in sorted(met))

    def _diverse(self, pool: Sequence[Scored]) -> Iterator[Scored]:
        held = [item.item_id for item in self.items]
        places = diversified(
            self._vectors([*held, *(item_id for item_id, _ in pool)]),
            len(held),
            len(pool),
            self._query.diversity,
            lambda place: self._caps.fits(pool[place][0]),
        )
        return (pool[place] for place in places)


def _matches(item_id: str, entry: Entry, wanted: Wanted) -> bool:
    field, values = wanted
    if field == ITEM_ID:
        return item_id in values
    return not values.isdisjoint(entry.values(field))
