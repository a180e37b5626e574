"""Answers made in the ranking thread: rank together, then fill and explain one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from service.domain.recommendations import MODEL, Query, Recommendation
from service.errors import FreshetError
from service.logs import get_logger
from service.serving.backlog import Backlog
from service.serving.content_newcomers import Ranked
from service.serving.explain import explain
from service.serving.filling import Scene, fill, recommendation
from service.serving.retrieval import Want, knows, retrieve
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
    def cost(self) -> int:
        """In plain answers; to explain one takes an encoding per item of the history, and rules
        take the more candidates."""
        if self.query.explain:
            return _EXPLAINED_COST
        return 1 if is_plain(self.query) else _RULED_COST


class Answering:
    """Makes answers; belongs to the ranking thread."""

    def __init__(self) -> None:
        self._backlog = Backlog()

    def make(self, tasks: Sequence[Task]) -> list[Recommendation]:
        """One answer per task, in their order; all tasks rest on the same model.

        A model that fails costs these answers its part: they come from the lists and say so.
        """
        able = [place for place, task in enumerate(tasks) if task.want and knows(task.want)]
        ranked: dict[int, Ranked] = {}
        failed = False
        try:
            wants = [want for place in able if (want := tasks[place].want) is not None]
            ranked = dict(zip(able, retrieve(wants), strict=True))
        except (FreshetError, ValueError, RuntimeError) as error:
            failed = True
            version = tasks[0].scene.model.version
            log.error("ranking failed", version=version, answers=len(able), error=repr(error))
        lost = frozenset(able if failed else ())
        return [
            self._finish(task, task.rank() if task.rank else ranked.get(place, []), place in lost)
            for place, task in enumerate(tasks)
        ]

    def _finish(self, task: Task, ranked: Ranked, lost: bool) -> Recommendation:
        scene = task.scene
        if lost:
            scene = replace(scene, degraded=(*scene.degraded, "model"))
        items = fill(scene, task.query, task.eligible, ranked, task.only, self._backlog)
        source = task.ranked_source if ranked and task.ranked_source else task.source
        answer = recommendation(scene, task.query.user_id, source, items)
        return _explained(task.want, answer) if task.query.explain and task.want else answer


def _explained(want: Want, answer: Recommendation) -> Recommendation:
    ranked = [item.item_id for item in answer.items if item.source == MODEL]
    reasons = explain(
        want.model, want.history, want.user_id, ranked, want.objective, want.newcomers
    )
    because = dict(zip(ranked, reasons, strict=True))
    return replace(
        answer,
        items=tuple(replace(item, because=because.get(item.item_id, ())) for item in answer.items),
    )
