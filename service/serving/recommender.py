"""Answers: history → ranked by the model → filtered → filled from trending, popular and latest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from service.domain.interactions import SKIP, Interaction
from service.domain.recommendations import (
    FALLBACK,
    LATEST,
    PERSONALIZED,
    SESSION,
    Query,
    Recommendation,
    SimilarBy,
)
from service.errors import Unavailable
from service.serving.answering import Task
from service.serving.breaker import Breaker
from service.serving.catalogue_feed import CatalogueFeed
from service.serving.content import ContentFeed
from service.serving.content_newcomers import NOBODY
from service.serving.filling import Scene
from service.serving.lists import FallbackLists, ListsFeed
from service.serving.memory_feed import MemoryFeed
from service.serving.mixture import Mixture
from service.serving.model import ServingModel
from service.serving.ranker import Ranker
from service.serving.retrieval import Want
from service.serving.rules import Eligibility, Scored, ample, depth
from service.settings import Settings
from service.storage.clock import now_ms
from service.storage.history import HistoryStore

_CATALOGUE_STALE_S = 5.0
_LISTS_STALE_S = 10.0
_MEMORY_STALE_S = 5.0
_REST_S = 1.0


@dataclass(frozen=True, slots=True)
class _Past:
    """What is known of whoever is asked for."""

    items: tuple[str, ...] = ()
    """Positive ones, oldest first."""
    times_ms: tuple[int, ...] = ()
    """When each happened; empty for a history that came with the request."""
    user_key: int | None = None
    """By which the fast memory knows the user."""
    seen: frozenset[str] = frozenset()
    """Not wanted again: taken by an event that is not repeatable, or passed over by the user."""


_NOTHING = _Past()


class Recommender:
    """Makes answers from one model, one catalogue view and one set of lists per request.

    Args:
        served: gives the model being served.
        positive: whether an interaction is a positive signal.
        content: what items say of themselves, where that is read.
        memory: answers say so when it is not level with what is kept.
        mixture: what the ranker ranks by beside the model, the same one.
        user_key: by which the fast memory knows a user; None while that is not known.
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
        content: ContentFeed | None = None,
        memory: MemoryFeed | None = None,
        mixture: Mixture | None = None,
        user_key: Callable[[str], int | None] = lambda user_id: None,
    ) -> None:
        self._served = served
        self._catalogue = catalogue
        self._content = content
        self._lists = lists
        self._history = history
        self._ranker = ranker
        self._memory = memory
        self._mixture = mixture
        self._user_key = user_key
        self._depth = 0 if mixture is None else mixture.top
        self._positive = positive
        self._repeatable = frozenset(settings.repeatable_types)
        self._all_repeat = bool(self._repeatable) and self._repeatable.issuperset(
            settings.positive_types
        )
        self._history_size = settings.log.history_size
        self._type_heads = frozenset(settings.learning.type_heads)
        self._breaker = Breaker(_REST_S)

    async def recommend(self, queries: Sequence[Query]) -> list[Recommendation]:
        """One answer per query, in their order, all from the same model version.

        Raises:
            Overloaded: too many answers are waiting to be made.
        """
        scene = await self._named(self._scene(), queries)
        pasts, lost = await self._pasts(queries)
        if lost:
            scene = replace(scene, degraded=("history", *scene.degraded))
        return await self._answer(
            [
                _task(self._asked_of(scene, query), query, past, least=self._depth)
                for query, past in zip(queries, pasts, strict=True)
            ]
        )

    async def similar(
        self, item_id: str, query: Query, by: SimilarBy = SimilarBy.VECTORS
    ) -> Recommendation:
        """Items close to `item_id` by what was learned, by what they say of themselves or by who
        was met together with them; filled like every answer. Of what was never learned, what it
        says of itself stands in.

        Raises:
            Overloaded: too many answers are waiting to be made.
        """
        query = replace(query, exclude=query.exclude | {item_id})
        task = _task(await self._named(self._scene(), [query]), query, like=item_id)
        allows, many = task.eligible.allows, ample(query)
        if by is SimilarBy.VECTORS and item_id not in task.scene.model.items:
            by = SimilarBy.CONTENT  # nothing was learned of it; what it says of itself is known
        if by is SimilarBy.CONTENT and self._content is not None:
            rank = partial(self._content.index.similar, item_id, many, allows)
            task = replace(task, want=None, rank=rank)
        if by is SimilarBy.COVISITS and self._mixture is not None:
            rank = partial(self._mixture.covisited, item_id, many, allows)
            task = replace(task, want=None, rank=rank)
        return (await self._answer([task]))[0]

    async def listed(
        self,
        source: str,
        query: Query,
        popular: Sequence[Scored] | None = None,
    ) -> Recommendation:
        """What the rules of `query` leave of the list named `source` alone.

        Args:
            popular: stands in for the replica's own popular list.

        Raises:
            Overloaded: too many answers are waiting to be made.
        """
        scene = await self._named(self._scene(), [query])
        if popular is not None:
            scene = replace(scene, lists=FallbackLists(popular=tuple(popular)))
        eligible = Eligibility.of(query, scene.view, scene.now_ms)
        task = Task(scene, query, FALLBACK, eligible, only=source)
        if popular is not None:
            return (await self._ranker.answer([task]))[0]
        return (await self._answer([task]))[0]

    async def _answer(self, tasks: list[Task]) -> list[Recommendation]:
        """The answers; those that come out short, again with lists that know more events."""
        answers = await self._ranker.answer(tasks)
        short = _short(tasks, answers)
        if short and await self._lists.catch_up(tasks[short[0]].scene.lists):
            await self._again(tasks, answers, short)
        while (short := _short(tasks, answers)) and (
            await self._lists.reach_back(tasks[short[0]].scene.lists)
        ):
            await self._again(tasks, answers, short)
        return answers

    async def _again(
        self, tasks: list[Task], answers: list[Recommendation], places: Sequence[int]
    ) -> None:
        lists = self._lists.lists
        for at in places:
            tasks[at] = replace(tasks[at], scene=replace(tasks[at].scene, lists=lists))
        made = await self._ranker.answer([tasks[at] for at in places])
        for at, answer in zip(places, made, strict=True):
            answers[at] = answer

    def _scene(self) -> Scene:
        ages = [
            ("catalogue", self._catalogue.age_s(), _CATALOGUE_STALE_S),
            ("popularity", self._lists.age_s(), _LISTS_STALE_S),
        ]
        if self._memory is not None:
            ages.append(("memory", self._memory.age_s(), _MEMORY_STALE_S))
        stale = tuple(name for name, age_s, most_s in ages if age_s is None or age_s > most_s)
        model = self._served()
        newcomers = NOBODY if self._content is None else self._content.newcomers(model)
        return Scene(model, self._catalogue.view, self._lists.lists, stale, newcomers, now_ms())

    async def _named(self, scene: Scene, queries: Sequence[Query]) -> Scene:
        """The scene, and what events say of items that rules ask for by name and nobody knows."""
        required = {id(query.rules): query.rules for query in queries if query.rules.required}
        if not required:
            return scene
        unknown = [
            item_id
            for rules in required.values()
            for item_id in rules.item_ids or ()
            if scene.view.entry(item_id) is None and item_id not in scene.model.items
        ]
        return replace(scene, named=await self._lists.named(unknown)) if unknown else scene

    def _asked_of(self, scene: Scene, query: Query) -> Scene:
        """The scene, and that it lacks the head that the settings promise, while it does."""
        net, objective = scene.model.net, query.objective
        if net is None or objective not in self._type_heads or objective in net.heads.types:
            return scene
        return replace(scene, degraded=(*scene.degraded, "objective"))

    async def _pasts(self, queries: Sequence[Query]) -> tuple[list[_Past], bool]:
        """What each query rests on; and whether the store failed to say."""
        user_ids = [q.user_id for q in queries if q.user_id is not None and q.history is None]
        stored: dict[str, _Past] = {}
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
                    user_id: self._past(user_id, events)
                    for user_id, events in zip(user_ids, found, strict=True)
                }
        return [
            stored.get(q.user_id or "", _NOTHING) if q.history is None else self._sent(q)
            for q in queries
        ], lost

    def _sent(self, query: Query) -> _Past:
        """A history that came with the request; whose it is may be known all the same.

        It says no types, so all of it was seen, unless there is no type that it could be by.
        """
        key = None if query.user_id is None else self._user_key(query.user_id)
        items = query.history or ()
        seen = frozenset[str]() if self._all_repeat else frozenset(items)
        return _Past(items, user_key=key, seen=seen)

    def _past(self, user_id: str, events: Sequence[Interaction]) -> _Past:
        positive = [event for event in events if self._positive(event)]
        once = (event for event in positive if event.type not in self._repeatable)
        skipped = (event for event in events if event.type == SKIP)
        return _Past(
            tuple(event.item_id for event in positive),
            tuple(event.time_ms for event in positive),
            self._user_key(user_id),
            frozenset(event.item_id for event in (*once, *skipped)),
        )


def _task(
    scene: Scene, query: Query, past: _Past = _NOTHING, like: str | None = None, least: int = 0
) -> Task:
    """What is to be done for one query.

    Args:
        least: candidates of the model that are ranked anew, or more.
    """
    history = past.items
    eligible = Eligibility.of(query, scene.view, scene.now_ms, past.seen)
    want = Want(
        scene.model,
        eligible,
        query.limit,
        max(least, depth(query)),
        query.max_per_category,
        history=history,
        times_ms=past.times_ms,
        now_ms=scene.now_ms,
        user_key=past.user_key,
        user_id=query.user_id,
        like=like,
        objective=query.objective,
        newcomers=scene.newcomers,
    )
    if query.history:
        return Task(scene, query, SESSION, eligible, want)
    source = PERSONALIZED if history else FALLBACK
    ranked_source = PERSONALIZED if like is None else FALLBACK
    return Task(scene, query, source, eligible, want, ranked_source=ranked_source)


def _short(tasks: Sequence[Task], answers: Sequence[Recommendation]) -> list[int]:
    """The answers that lists of more events could fill.

    Not those that only items of the catalogue or items asked for by name may stand in; nor trending
    and popular alone, which are short where little has happened, and counted anew now and then.
    """
    return [
        at
        for at, (task, answer) in enumerate(zip(tasks, answers, strict=True))
        if len(answer.items) < task.query.limit
        and task.only in (None, LATEST)
        and task.eligible.narrowest() is None
    ]
