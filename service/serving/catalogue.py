"""The catalogue as answers need it: who is hidden, who is in which category, who is new.

A view is immutable, so a request that took one reads one revision whatever is written meanwhile. It
is a large base and a small set of later changes: a write copies the changes (at most 1/64 of the
base), and only when they outgrow that is the base made anew, so that a PUT costs far less than the
catalogue.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice

from service.domain.catalogue import Item
from service.domain.rules import ATTRIBUTE, CATEGORIES, TAGS, Value
from service.serving.labels import attributes_of, interned

_MIN_CHANGES = 1_024
_CHANGES_SHARE = 64
_SKEW_MS = 60_000
"""How far clocks of replicas may differ: what one of them just wrote is new, not future."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a view keeps of an item."""

    categories: frozenset[str] = frozenset()
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Those that a rule can match: see `service.serving.labels`."""
    hidden: bool = False
    """Unavailable or a tombstone."""
    deleted: bool = False
    time_ms: int = 0
    """When it was published, or made in the catalogue where that is not said."""
    from_ms: int = 0
    """When it is published, which may lie ahead; 0 where that is not said."""
    revision: int = 0

    @classmethod
    def of(cls, item: Item) -> Entry:
        return cls(
            categories=frozenset(interned(item.categories)),
            tags=interned(item.tags),
            attributes=attributes_of(item.attributes),
            hidden=item.deleted or not item.available,
            deleted=item.deleted,
            time_ms=max(0, item.created_ms if item.published_ms is None else item.published_ms),
            from_ms=max(0, item.published_ms or 0),
            revision=item.revision,
        )

    def values(self, field: str) -> Collection[Value]:
        """What stands in `field`, a name as rules have them but `item_id`."""
        if field == CATEGORIES:
            return self.categories
        if field == TAGS:
            return self.tags
        return self.attributes.get(field.removeprefix(ATTRIBUTE), ())


Dated = tuple[int, str]
"""A time in Unix milliseconds and an item id: sorts as answers list the latest items."""


Members = Mapping[Value, tuple[Dated, ...]]
"""By each value of a field the visible items that have it, latest first."""


@dataclass(frozen=True, slots=True)
class _Base:
    entries: Mapping[str, Entry] = field(default_factory=dict)
    newest: tuple[Dated, ...] = ()
    attributes: frozenset[str] = frozenset()
    """The names that visible items have."""
    known: dict[str, Members] = field(default_factory=dict)
    """Members by field, as far as somebody has asked: never more than the entries themselves hold.
    Who asks at the same time works out the same."""

    @classmethod
    def build(cls, entries: Mapping[str, Entry]) -> _Base:
        newest = sorted(
            ((entry.time_ms, item_id) for item_id, entry in entries.items() if not entry.hidden),
            reverse=True,
        )
        visible = (entries[item_id] for _, item_id in newest)
        names = frozenset(chain.from_iterable(entry.attributes for entry in visible))
        base = cls(entries, tuple(newest), names)
        base.members(CATEGORIES)
        return base

    def members(self, field: str) -> Members:
        if field.startswith(ATTRIBUTE) and field.removeprefix(ATTRIBUTE) not in self.attributes:
            return {}
        if field not in self.known:
            found: dict[Value, list[Dated]] = {}
            for dated in self.newest:
                for value in self.entries[dated[1]].values(field):
                    found.setdefault(value, []).append(dated)
            self.known[field] = {value: tuple(items) for value, items in found.items()}
        return self.known[field]


@dataclass(frozen=True, slots=True)
class CatalogueView:
    """One revision of the catalogue."""

    revision: int = 0
    _base: _Base = field(default_factory=_Base)
    _changes: Mapping[str, Entry] = field(default_factory=dict)
    _changes_newest: tuple[Dated, ...] = ()

    def __len__(self) -> int:
        """Items known to the catalogue, hidden ones and tombstones included (an upper bound)."""
        return len(self._base.entries) + len(self._changes)

    @property
    def ground(self) -> Container[str]:
        """Ids that the catalogue has an entry for, but for the latest few.

        The same object in all views between which only little was written, so that what is derived
        from it can be kept.
        """
        return self._base.entries

    def entry(self, item_id: str) -> Entry | None:
        return self._changes.get(item_id) or self._base.entries.get(item_id)

    def allows(self, item_id: str, values: frozenset[Value], field: str = CATEGORIES) -> bool:
        """Whether the item is visible and has any of `values` (empty: whatever it has) in `field`.

        An item that only events name is in no category and is never hidden.
        """
        entry = self.entry(item_id)
        if entry is None:
            return not values
        return not entry.hidden and (not values or not values.isdisjoint(entry.values(field)))

    def count(self, values: frozenset[Value], field: str = CATEGORIES) -> int:
        """How many visible items have any of `values` in `field`, never too low."""
        known = self._base.members(field)
        return len(self._changes) + sum(len(known.get(value, ())) for value in values)

    def newest(
        self,
        values: frozenset[Value],
        field: str = CATEGORIES,
        now_ms: int | None = None,
    ) -> Iterator[Dated]:
        """Visible items with any of `values` (empty: all) in `field`, latest first, each once.

        Args:
            now_ms: leave out what is later than this by more than clocks differ.
        """
        stale = self._changes
        kept = (d for d in self._base_newest(values, field, now_ms) if d[1] not in stale)
        changed = (dated for dated in self._changes_newest if self.allows(dated[1], values, field))
        return heapq.merge(kept, changed, reverse=True)

    def _base_newest(
        self,
        values: frozenset[Value],
        field: str,
        now_ms: int | None,
    ) -> Iterator[Dated]:
        if not values:
            yield from _until(self._base.newest, now_ms)
            return
        last = None
        known = self._base.members(field)
        lists = [_until(known.get(value, ()), now_ms) for value in values]
        for dated in heapq.merge(*lists, reverse=True):
            if dated != last:
                yield dated
            last = dated

    def with_items(self, items: Iterable[Item]) -> CatalogueView:
        """A view that knows `items`, too; an item older than what is known changes nothing."""
        changes = dict(self._changes)
        revision = self.revision
        for item in items:
            known = changes.get(item.item_id) or self._base.entries.get(item.item_id)
            if known is None or item.revision > known.revision:
                changes[item.item_id] = Entry.of(item)
                revision = max(revision, item.revision)
        base = self._base
        if len(changes) > max(_MIN_CHANGES, len(base.entries) // _CHANGES_SHARE):
            base, changes = _Base.build(dict(chain(base.entries.items(), changes.items()))), {}
        newest = sorted(
            ((entry.time_ms, item_id) for item_id, entry in changes.items() if not entry.hidden),
            reverse=True,
        )
        return CatalogueView(revision, base, changes, tuple(newest))


def _until(newest: tuple[Dated, ...], now_ms: int | None) -> Iterator[Dated]:
    """Without the items at its head that are to be published later."""
    if now_ms is None:
        return iter(newest)
    return islice(newest, bisect_left(newest, -now_ms - _SKEW_MS, key=lambda d: -d[0]), None)
