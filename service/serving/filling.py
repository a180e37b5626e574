"""Filling an answer: what was ranked, then trending, popular and latest items until it is full."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from service.domain.recommendations import (
    EXPLORE,
    LATEST,
    MODEL,
    POPULAR,
    TRENDING,
    Query,
    Recommendation,
    RecommendedItem,
)
from service.domain.rules import ITEM_ID
from service.serving.backlog import Backlog
from service.serving.catalogue import CatalogueView, Dated
from service.serving.content_newcomers import NOBODY, Newcomers
from service.serving.lists import FallbackLists
from service.serving.model import ServingModel
from service.serving.rules import Eligibility, Scored, Selection


@dataclass(frozen=True, slots=True)
class Scene:
    """The references one request took, once each, and what it has to do without."""

    model: ServingModel
    view: CatalogueView
    lists: FallbackLists
    degraded: tuple[str, ...]
    newcomers: Newcomers = NOBODY
    """Items that the model has no row for and is able to rank all the same."""
    now_ms: int = 0
    """When it was asked: what is published later is not there yet."""
    named: Mapping[str, int] = field(default_factory=dict)
    """Of items that a rule names and nobody else here knows: the time of the first event, ms."""

    def vectors_of(self, item_ids: Sequence[str]) -> Tensor | None:
        """Vectors [P, D] of the items, zero of one that the model cannot place; None if it can
        place none."""
        learned = self.model.items
        known = [at for at, one in enumerate(item_ids) if one in learned or one in self.newcomers]
        if not known:
            return None
        rows = self.newcomers.rows(learned, self.model.vectors, [item_ids[at] for at in known])
        vectors = rows.new_zeros(len(item_ids), rows.shape[1])
        vectors[known] = rows
        return vectors


@dataclass(frozen=True, slots=True)
class Explored:
    """Items that an answer may hold although others are thought better."""

    places: int = 0
    """Of the answer, that they may have."""
    ranked: Sequence[Scored] = ()
    """More than these places, for the rules may not allow some."""
    by: Mapping[str, str] = field(default_factory=dict)
    """What found each of them: `thompson` or `new`."""


NOTHING_EXPLORED = Explored()


def fill(
    scene: Scene,
    query: Query,
    eligible: Eligibility,
    ranked: Sequence[Scored],
    only: str | None,
    backlog: Backlog,
    explored: Explored = NOTHING_EXPLORED,
) -> tuple[RecommendedItem, ...]:
    """The ranked items, and below them the fallback lists in their order until `limit`; of each
    what the rules allow.

    An answer that stays short holds all that it may, so nothing in it is explored.

    Args:
        only: the one list to take from, instead of all.
        explored: chosen first, and put between the others.
    """
    if explored.places and explored.ranked:
        answer = Selection(query, eligible, scene.vectors_of)
        answer.take(explored.ranked, EXPLORE, explored.places)
        first = len(answer.items)
        _take_all(answer, scene, eligible, ranked, only, backlog)
        if answer.full:
            return _spread(answer.items[:first], answer.items[first:])
    answer = Selection(query, eligible, scene.vectors_of)
    _take_all(answer, scene, eligible, ranked, only, backlog)
    return tuple(answer.items)


def _take_all(
    answer: Selection,
    scene: Scene,
    eligible: Eligibility,
    ranked: Sequence[Scored],
    only: str | None,
    backlog: Backlog,
) -> None:
    answer.take(ranked, MODEL)
    for name in (TRENDING, POPULAR, LATEST) if only is None else (only,):
        if answer.full:
            break
        answer.take(_proposed(scene, name, eligible, backlog), name)


def _spread(
    explored: Sequence[RecommendedItem], others: Sequence[RecommendedItem]
) -> tuple[RecommendedItem, ...]:
    """Both in their orders, each explored item in the middle of its stretch of the answer."""
    size = len(explored) + len(others)
    places = {(2 * at + 1) * size // (2 * len(explored)) for at in range(len(explored))}
    one, other = iter(explored), iter(others)
    return tuple(next(one) if place in places else next(other) for place in range(size))


def recommendation(
    scene: Scene, user_id: str | None, source: str, items: tuple[RecommendedItem, ...]
) -> Recommendation:
    """An answer from the scene's version, without an id yet."""
    return Recommendation(
        user_id=user_id,
        source=source,
        model_version=scene.model.version,
        learned_until_ms=scene.model.learned_until_ms,
        items=items,
        degraded=scene.degraded,
    )


def _proposed(scene: Scene, name: str, eligible: Eligibility, backlog: Backlog) -> Iterable[Scored]:
    if name == TRENDING:
        return scene.lists.trending
    if name == POPULAR:
        return scene.lists.popular
    return ((item_id, ms / 1000) for ms, item_id in _latest(scene, eligible, backlog))


def _latest(scene: Scene, eligible: Eligibility, backlog: Backlog) -> Iterator[Dated]:
    """Every item that may be allowed, latest first: catalogue and events by time, then what is only
    learned.

    As scores, times are Unix seconds; an item whose time is not known scores 0 and comes last.
    """
    if eligible.narrowest():
        return newest(scene, eligible)
    view = scene.view
    rest = backlog.items(view, scene.model.items, scene.lists.older)
    undated = (seen for seen in rest if view.entry(seen[1]) is None)
    return heapq.merge(newest(scene, eligible), undated, reverse=True)


def newest(scene: Scene, eligible: Eligibility) -> Iterator[Dated]:
    """Items of the catalogue and the latest that events named, latest first; where `eligible` is
    narrow, of those that meet its narrowest condition."""
    view, now_ms = scene.view, scene.now_ms
    if narrowest := eligible.narrowest():
        field, values = narrowest[1]
        if field == ITEM_ID:
            return _of_these(scene, eligible.rules.item_ids or ())
        return view.newest(values, field, now_ms)
    named = (seen for seen in scene.lists.first_seen if view.entry(seen[1]) is None)
    return heapq.merge(view.newest(frozenset(), now_ms=now_ms), named, reverse=True)


def _of_these(scene: Scene, item_ids: Iterable[str]) -> Iterator[Dated]:
    """Those that anybody has named."""
    found = []
    for item_id in item_ids:
        if entry := scene.view.entry(item_id):
            found.append((entry.time_ms, item_id))
        elif item_id in scene.named or item_id in scene.model.items:
            found.append((scene.named.get(item_id, 0), item_id))
    return iter(sorted(found, reverse=True))
