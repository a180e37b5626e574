"""Filling an answer: what was ranked, then trending, popular and latest items until it is full."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from service.domain.recommendations import (
    LATEST,
    MODEL,
    POPULAR,
    TRENDING,
    Query,
    Recommendation,
    RecommendedItem,
)
from service.serving.backlog import Backlog
from service.serving.catalogue import CatalogueView
from service.serving.content_newcomers import NOBODY, Newcomers
from service.serving.lists import FallbackLists, Scored
from service.serving.model import ServingModel


@dataclass(frozen=True, slots=True)
class Scene:
    """The references one request took, once each, and what it has to do without."""

    model: ServingModel
    view: CatalogueView
    lists: FallbackLists
    degraded: tuple[str, ...]
    newcomers: Newcomers = NOBODY
    """Items that the model has no row for and is able to rank all the same."""


def fill(
    scene: Scene,
    query: Query,
    exclude: frozenset[str],
    ranked: Iterable[Scored],
    only: str | None,
    backlog: Backlog,
) -> tuple[RecommendedItem, ...]:
    """The ranked items, and below them the fallback lists in their order until `limit`.

    Args:
        only: the one list to take from, instead of all.
    """
    items = [RecommendedItem(item_id, score, MODEL) for item_id, score in ranked]
    used = {*exclude, *(item.item_id for item in items)}
    for name in (TRENDING, POPULAR, LATEST) if only is None else (only,):
        if len(items) >= query.limit:
            break
        for item_id, score in _proposed(scene, name, query.categories, backlog):
            if item_id not in used and scene.view.allows(item_id, query.categories):
                used.add(item_id)
                items.append(RecommendedItem(item_id, score, name))
                if len(items) >= query.limit:
                    break
    return tuple(items)


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


def _proposed(
    scene: Scene, name: str, categories: frozenset[str], backlog: Backlog
) -> Iterable[Scored]:
    if name == TRENDING:
        return scene.lists.trending
    if name == POPULAR:
        return scene.lists.popular
    return _latest(scene, categories, backlog)


def _latest(scene: Scene, categories: frozenset[str], backlog: Backlog) -> Iterator[Scored]:
    """Every item there is, latest first: catalogue and events by time, then what is only learned.

    Scores are Unix seconds; an item whose time is not known scores 0 and comes last.
    """
    view, lists = scene.view, scene.lists
    dated = view.newest(categories)
    if not categories:  # who has no catalogue entry is in no category
        named = (seen for seen in lists.first_seen if view.entry(seen[1]) is None)
        rest = backlog.items(view, scene.model.items, lists.older)
        undated = (seen for seen in rest if view.entry(seen[1]) is None)
        dated = heapq.merge(dated, named, undated, reverse=True)
    return ((item_id, ms / 1000) for ms, item_id in dated)
