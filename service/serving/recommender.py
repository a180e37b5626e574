"""Answers: history → ranked by the model → filtered → filled from trending, popular and latest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from service.domain.interactions import Interaction
from service.domain.recommendations import (
    FALLBACK,
    MODEL,
    PERSONALIZED,
    SESSION,
    Query,
    Recommendation,
)
from service.errors import FreshetError, Unavailable
from service.logs import get_logger
from service.serving.breaker import Breaker
from service.serving.catalogue_feed import CatalogueFeed
from service.serving.explain import explain
from service.serving.filling import Scene, finish, listed, recommendation
from service.serving.lists import ListsFeed, Scored
from service.serving.model import ServingModel
from service.serving.ranker import Ranker
from service.serving.retrieval import Want, knows
from service.settings import Settings
from service.storage.history import HistoryStore

_CATALOGUE_STALE_S = 5.0
_LISTS_STALE_S = 10.0
_REST_S = 1.0

log = get_logger("serving")


class Recommender:
    """Makes answers from one model, one catalogue view and one set of lists per request.

    Args:
        served: gives the model being served.
        positive: whether an interaction is a positive signal.
    """

    def __init__(
        self,
        *,
        served: Callable[[], ServingModel],
        catalogue: CatalogueFeed,
        lists: ListsFeed,
        history: HistoryStore,
        ranker: Ranker,
        positive: Callable[[Interaction], bool],
        settings: Settings,
    ) -> None:
        self._served = served
        self._catalogue = catalogue
        self._lists = lists
        self._history = history
        self._ranker = ranker
        self._positive = positive
        self._history_size = settings.log.history_size
        self._breaker = Breaker(_REST_S)

    async def recommend(self, queries: Sequence[Query]) -> list[Recommendation]:
        """One answer per query, in their order, all from the same model version."""
        scene = self._scene()
        histories, lost = await self._histories(queries)
        if lost:
            scene = replace(scene, degraded=("history", *scene.degraded))
        return await asyncio.gather(
            *(
                self._answer(scene, query, history)
                for query, history in zip(queries, histories, strict=True)
            )
        )

    async def similar(self, item_id: str, limit: int, categories: frozenset[str]) -> Recommendation:
        """Items close to `item_id` by what was learned; filled like every answer."""
        scene = self._scene()
        query = Query(limit=limit, categories=categories, exclude=frozenset({item_id}))
        want = Want(
            scene.model,
            scene.view,
            limit,
            like=item_id,
            categories=categories,
            exclude=query.exclude,
        )
        ranked, scene = await self._ranked(scene, want)
        return await self._filled(scene, query, FALLBACK, ranked, query.exclude)

    async def listed(
        self,
        source: str,
        limit: int,
        categories: frozenset[str],
        scored: Sequence[Scored] | None = None,
    ) -> Recommendation:
        """The list named `source` alone, filtered; `scored` stands in for the replica's own."""
        scene = self._scene()
        items = listed(scene, source, scored, categories, limit)
        if scored is None and len(items) < limit and await self._lists.catch_up():
            scene = replace(scene, lists=self._lists.lists)
            items = listed(scene, source, scored, categories, limit)
        return recommendation(scene, None, FALLBACK, tuple(items))

    def _scene(self) -> Scene:
        ages = (
            ("catalogue", self._catalogue.age_s(), _CATALOGUE_STALE_S),
            ("popularity", self._lists.age_s(), _LISTS_STALE_S),
        )
        stale = tuple(name for name, age_s, most_s in ages if age_s is None or age_s > most_s)
        return Scene(self._served(), self._catalogue.view, self._lists.lists, stale)

    async def _histories(self, queries: Sequence[Query]) -> tuple[list[tuple[str, ...]], bool]:
        """Positive items per query, oldest first; and whether the store failed to say."""
        user_ids = [q.user_id for q in queries if q.user_id is not None and q.history is None]
        stored: dict[str, tuple[str, ...]] = {}
        lost = False
        if user_ids and not (lost := not self._breaker.allows()):
            try:
                found = await self._history.recent_many(user_ids, self._history_size)
            except Unavailable:
                self._breaker.failed()
                lost = True
            else:
                self._breaker.succeeded()
                stored = {
                    user_id: tuple(event.item_id for event in events if self._positive(event))
                    for user_id, events in zip(user_ids, found, strict=True)
                }
        return [
            stored.get(q.user_id or "", ()) if q.history is None else q.history for q in queries
        ], lost

    async def _answer(self, scene: Scene, query: Query, history: tuple[str, ...]) -> Recommendation:
        exclude = query.exclude.union(history) if query.exclude_seen else query.exclude
        want = Want(
            scene.model,
            scene.view,
            query.limit,
            history=history,
            user_id=query.user_id,
            categories=query.categories,
            exclude=exclude,
        )
        ranked, scene = await self._ranked(scene, want)
        if query.history:
            source = SESSION
        else:
            source = PERSONALIZED if history or ranked else FALLBACK
        answer = await self._filled(scene, query, source, ranked, exclude)
        return await self._explained(scene, want, answer) if query.explain else answer

    async def _ranked(self, scene: Scene, want: Want) -> tuple[list[Scored], Scene]:
        if not knows(want):
            return [], scene
        try:
            return await self._ranker.rank(want), scene
        except (FreshetError, ValueError, RuntimeError) as error:
            log.error("ranking failed", version=scene.model.version, error=repr(error))
            return [], replace(scene, degraded=(*scene.degraded, "model"))

    async def _filled(
        self,
        scene: Scene,
        query: Query,
        source: str,
        ranked: Sequence[Scored],
        exclude: frozenset[str],
    ) -> Recommendation:
        """The answer; when it comes out short, once more with lists that know the latest events."""
        answer = finish(scene, query, source, ranked, exclude)
        if len(answer.items) < query.limit and await self._lists.catch_up():
            scene = replace(scene, lists=self._lists.lists)
            answer = finish(scene, query, source, ranked, exclude)
        return answer

    async def _explained(self, scene: Scene, want: Want, answer: Recommendation) -> Recommendation:
        ranked = [item.item_id for item in answer.items if item.source == MODEL]
        reasons = await self._ranker.run(explain, scene.model, want.history, want.user_id, ranked)
        because = dict(zip(ranked, reasons, strict=True))
        return replace(
            answer,
            items=tuple(
                replace(item, because=because.get(item.item_id, ())) for item in answer.items
            ),
        )
