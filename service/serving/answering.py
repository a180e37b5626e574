"""Answers made in the ranking thread: rank together, then fill and explain one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from models.mixing.blend import NETWORK
from service.domain.recommendations import (
    EXPLORE,
    MODEL,
    Query,
    Recommendation,
    RecommendedItem,
)
from service.errors import FreshetError
from service.logs import get_logger
from service.serving.backlog import Backlog
from service.serving.content_newcomers import Ranked
from service.serving.explain import explain
from service.serving.exploring import Explorer
from service.serving.filling import NOTHING_EXPLORED, Explored, Scene, fill, recommendation
from service.serving.mixed import Mixed
from service.serving.mixture import Mixture
from service.serving.retrieval import Found, Want, knows, retrieve
from service.serving.rules import Eligibility, is_plain

_EXPLAINED_COST = 16
_RULED_COST = 4

log = get_logger("serving")


@dataclass(frozen=True, slots=True)
class Task:
    """One answer to make."""

    scene: Scene
    query: Query
    source: str
    """What the answer rests on; where the model ranks for a user without a history, it decides."""
    eligible: Eligibility
    want: Want | None = None
    """What the model is to rank; None leaves it out."""
    ranked_source: str | None = None
    """What the answer rests on if the model had something to rank."""
    only: str | None = None
    """The one fallback list to take from."""
    rank: Callable[[], Ranked] | None = None
    """Ranks without the model, in its place."""

    @property
    def explores(self) -> bool:
        """Whether items may stand in it that are not thought best: it recommends, and neither
        lists nor compares."""
        return self.want is not None and self.want.like is None

    @property
    def cost(self) -> int:
        """In plain answers; to explain one takes an encoding per item of the history, and rules
        take the more candidates."""
        if self.query.explain:
            return _EXPLAINED_COST
        return 1 if is_plain(self.query) else _RULED_COST


class Answering:
    """Makes answers; belongs to the ranking thread.

    Args:
        mixture: ranks what the model ranked anew, beside what others propose; None: the model does.
        explorer: proposes what else recommendations may hold; None: nothing.
    """

    def __init__(self, mixture: Mixture | None = None, explorer: Explorer | None = None) -> None:
        self._backlog = Backlog()
        self._mixture = mixture
        self._explorer = explorer

    def make(self, tasks: Sequence[Task]) -> list[Recommendation]:
        """One answer per task, in their order; all tasks rest on the same model.

        A model that fails costs these answers its part: they come from the lists and say so.
        """
        able = [place for place, task in enumerate(tasks) if task.want and self._knows(task.want)]
        others = [place for place, task in enumerate(tasks) if task.rank]
        mixed: dict[int, Mixed] = {}
        lost: frozenset[int] = frozenset()
        try:
            wants = [self._deep(want) for at in able if (want := tasks[at].want) is not None]
            found = zip(wants, retrieve(wants), strict=True)
            mixed = dict(zip(able, (self._mixed(*one) for one in found), strict=True))
            mixed |= {at: Mixed(rank()) for at in others if (rank := tasks[at].rank) is not None}
        except (FreshetError, ValueError, RuntimeError, IndexError) as error:
            lost, mixed = frozenset([*able, *others]), {}
            version = tasks[0].scene.model.version
            log.error("ranking failed", version=version, answers=len(lost), error=repr(error))
        return [
            self._finish(task, mixed.get(place, Mixed([])), place in lost)
            for place, task in enumerate(tasks)
        ]

    def _knows(self, want: Want) -> bool:
        return knows(want) or (self._mixture is not None and self._mixture.knows(want))

    def _deep(self, want: Want) -> Want:
        """With as many candidates as exploring takes."""
        if self._explorer is None or (depth := self._explorer.depth(want)) <= want.depth:
            return want
        return replace(want, depth=depth)

    def _mixed(self, want: Want, found: Found) -> Mixed:
        """What the model found in the order of all who have a say; its own where nobody has."""
        if self._mixture is None or not self._mixture.knows(want):
            mixed = Mixed(found.ranked)
        else:
            mixed = self._mixture.mix(want, found)
        if self._explorer is None:
            return mixed
        return replace(mixed, drawn=tuple(self._explorer.drawn(want, found)))

    def _explored(self, task: Task, mixed: Mixed) -> Explored:
        if self._explorer is None or not task.explores:
            return NOTHING_EXPLORED
        scene, query, eligible = task.scene, task.query, task.eligible
        return self._explorer.explored(scene, query, eligible, mixed.ranked, mixed.drawn)

    def _finish(self, task: Task, mixed: Mixed, lost: bool) -> Recommendation:
        scene, ranked = task.scene, mixed.ranked
        if lost:
            scene = replace(scene, degraded=(*scene.degraded, "model"))
        explored = self._explored(task, mixed)
        items = fill(scene, task.query, task.eligible, ranked, task.only, self._backlog, explored)
        source = task.ranked_source if ranked and task.ranked_source else task.source
        answer = recommendation(scene, task.query.user_id, source, items)
        if task.query.explain and task.want:
            return self._explained(task.want, answer, mixed.spoke, explored.by)
        return answer

    def _explained(
        self,
        want: Want,
        answer: Recommendation,
        spoke: Mapping[str, tuple[str, ...]],
        by: Mapping[str, str],
    ) -> Recommendation:
        """With the history items that spoke most for each ranked item, and the sources.

        Where the model names none, those that the item was met together with most.
        """
        ranked = [item.item_id for item in answer.items if item.source in (MODEL, EXPLORE)]
        because = _reasons(want, ranked)
        if self._mixture is not None and want.like is None:
            silent = [item for item in ranked if not because.get(item)]
            met = self._mixture.reasons(want, silent)
            because |= dict(zip(silent, met, strict=True))
        return replace(
            answer,
            items=tuple(
                replace(
                    item,
                    because=because.get(item.item_id, ()),
                    sources=_sources(item, spoke, by),
                )
                for item in answer.items
            ),
        )


def _sources(
    item: RecommendedItem, spoke: Mapping[str, tuple[str, ...]], by: Mapping[str, str]
) -> tuple[str, ...]:
    """Who proposed an item of an answer: the network what no other did, nobody what was listed.

    Args:
        spoke: the sources of what was mixed.
        by: how an item was found that may be explored, whether or not it was.
    """
    if item.source == EXPLORE:
        return (by[item.item_id],)
    return (spoke.get(item.item_id) or (NETWORK,)) if item.source == MODEL else ()


def _reasons(want: Want, item_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What the model says of those that it can place."""
    able = [one for one in item_ids if one in want.model.items or one in want.newcomers]
    told = explain(want.model, want.history, want.user_id, able, want.objective, want.newcomers)
    return dict(zip(able, told, strict=True))
