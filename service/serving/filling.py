"""Filling an answer: what was ranked, then trending, popular and latest items until it is full."""

from __future__ import annotations

import heapq
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from models.vocabulary import Vocabulary
from service.domain.recommendations import (
    LATEST,
    MODEL,
    POPULAR,
    TRENDING,
    Query,
    Recommendation,
    RecommendedItem,
)
from service.serving.catalogue import CatalogueView, Dated
from service.serving.lists import FallbackLists, Scored
from service.serving.model import ServingModel


@dataclass(frozen=True, slots=True)
class Scene:
    """The references one request took, once each, and what it has to do without."""

    model: ServingModel
    view: CatalogueView
    lists: FallbackLists
    degraded: tuple[str, ...]


def finish(
    scene: Scene, query: Query, source: str, ranked: Iterable[Scored], exclude: frozenset[str]
) -> Recommendation:
    """The ranked items, and below them the fallback lists in their order until `limit`."""
    items = [RecommendedItem(item_id, score, MODEL) for item_id, score in ranked]
    for name, listed in _sources(scene):
        missing = query.limit - len(items)
        if missing <= 0:
            break
        taken = exclude.union(item.item_id for item in items)
        items += _take(scene.view, name, listed(query.categories), query.categories, taken, missing)
    return recommendation(scene, query.user_id, source, tuple(items))


def listed(
    scene: Scene,
    source: str,
    scored: Iterable[Scored] | None,
    categories: frozenset[str],
    limit: int,
) -> list[RecommendedItem]:
    """The list named `source` alone, filtered; `scored` stands in for the scene's own."""
    if scored is None:
        scored = dict(_sources(scene))[source](categories)
    return _take(scene.view, source, scored, categories, frozenset(), limit)


def recommendation(
    scene: Scene, user_id: str | None, source: str, items: tuple[RecommendedItem, ...]
) -> Recommendation:
    """An answer with an id of its own, from the scene's version."""
    return Recommendation(
        recommendation_id=f"r-{secrets.token_urlsafe(15)}",
        user_id=user_id,
        source=source,
        model_version=scene.model.version,
        learned_until_ms=scene.model.learned_until_ms,
        items=items,
        degraded=scene.degraded,
    )


def _sources(
    scene: Scene,
) -> tuple[tuple[str, Callable[[frozenset[str]], Iterable[Scored]]], ...]:
    lists = scene.lists
    return (
        (TRENDING, lambda categories: lists.trending),
        (POPULAR, lambda categories: lists.popular),
        (LATEST, lambda categories: _latest(scene.view, lists, scene.model.items, categories)),
    )


def _latest(
    view: CatalogueView, lists: FallbackLists, learned: Vocabulary, categories: frozenset[str]
) -> Iterator[Scored]:
    """Every item there is, latest first: catalogue and events by time, then what is only learned.

    Scores are Unix seconds; an item whose time is not known scores 0 and comes last.
    """
    dated = view.newest(categories)
    if categories:
        yield from ((item_id, ms / 1000) for ms, item_id in dated)
        return
    undated = (seen for seen in lists.first_seen if view.entry(seen[1]) is None)
    yield from ((item_id, ms / 1000) for ms, item_id in _merge(dated, undated))
    yield from ((item_id, 0.0) for item_id in reversed(learned.ids))


def _merge(left: Iterable[Dated], right: Iterable[Dated]) -> Iterator[Dated]:
    return heapq.merge(left, right, reverse=True)


def _take(
    view: CatalogueView,
    source: str,
    scored: Iterable[Scored],
    categories: frozenset[str],
    taken: frozenset[str],
    missing: int,
) -> list[RecommendedItem]:
    """The first `missing` items of a list that are eligible and not `taken`."""
    items: list[RecommendedItem] = []
    used = set(taken)
    for item_id, score in scored:
        if len(items) >= missing:
            break
        if item_id not in used and view.allows(item_id, categories):
            used.add(item_id)
            items.append(RecommendedItem(item_id, score, source))
    return items
