"""The catalogue as answers need it: who is hidden, who is in which category, who is new.

A view is immutable, so a request that took one reads one revision whatever is written meanwhile. It
is a large base and a small set of later changes: a write copies the changes (at most 1/64 of the
base), and only when they outgrow that is the base made anew, so that a PUT costs far less than the
catalogue.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from service.domain.catalogue import Item

_MIN_CHANGES = 1_024
_CHANGES_SHARE = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """What a view keeps of an item."""

    categories: frozenset[str]
    hidden: bool
    """Unavailable or a tombstone."""
    deleted: bool
    time_ms: int
    """When it was published, or last written where that is not said."""
    revision: int

    @classmethod
    def of(cls, item: Item) -> Entry:
        return cls(
            categories=frozenset(item.categories),
            hidden=item.deleted or not item.available,
            deleted=item.deleted,
            time_ms=max(0, item.updated_ms if item.published_ms is None else item.published_ms),
            revision=item.revision,
        )


Dated = tuple[int, str]
"""A time in Unix milliseconds and an item id: sorts as answers list the latest items."""


@dataclass(frozen=True, slots=True)
class _Base:
    entries: Mapping[str, Entry] = field(default_factory=dict)
    newest: tuple[Dated, ...] = ()
    members: Mapping[str, tuple[Dated, ...]] = field(default_factory=dict)

    @classmethod
    def build(cls, entries: Mapping[str, Entry]) -> _Base:
        newest = sorted(
            ((entry.time_ms, item_id) for item_id, entry in entries.items() if not entry.hidden),
            reverse=True,
        )
        members: dict[str, list[Dated]] = {}
        for dated in newest:
            for category in entries[dated[1]].categories:
                members.setdefault(category, []).append(dated)
        return cls(entries, tuple(newest), {name: tuple(ids) for name, ids in members.items()})


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

    def allows(self, item_id: str, categories: frozenset[str]) -> bool:
        """Whether an answer to a query for `categories` (empty: all) may hold the item.

        An item that only events name is in no category and is never hidden.
        """
        entry = self.entry(item_id)
        if entry is None:
            return not categories
        return not entry.hidden and (not categories or not categories.isdisjoint(entry.categories))

    def count(self, categories: frozenset[str]) -> int:
        """How many visible items are in any of `categories`, never too low."""
        known = self._base.members
        return len(self._changes) + sum(len(known.get(name, ())) for name in categories)

    def newest(self, categories: frozenset[str]) -> Iterator[Dated]:
        """Visible items in any of `categories` (empty: all), latest first, each once."""
        stale = self._changes
        kept = (dated for dated in self._base_newest(categories) if dated[1] not in stale)
        changed = (dated for dated in self._changes_newest if self.allows(dated[1], categories))
        return heapq.merge(kept, changed, reverse=True)

    def _base_newest(self, categories: frozenset[str]) -> Iterator[Dated]:
        if not categories:
            yield from self._base.newest
            return
        last = None
        lists = [self._base.members.get(name, ()) for name in categories]
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
