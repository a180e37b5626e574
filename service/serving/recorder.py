"""Answers get their ids, and are written down beside the requests, never in them.

An answer waits in memory until the next writing; a server that is away makes it wait longer, and
where too much waits, what is given is not written down: it counts in no figure, and events that
name it are not joined, so that every rate stays one over the answers that are known.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from anyio import to_thread

from service.domain.online import Shown
from service.domain.recommendations import Recommendation
from service.serving.catalogue import CatalogueView
from service.serving.model import ServingModel
from service.storage.clock import now_ms
from service.storage.online import Given, OnlineStore
from service.storage.receipts import OTHER, PREFIX, Receipts
from service.telemetry import Metrics

MAX_WAITING = 200_000
"""Items of the answers that wait to be written down, at most."""
_AT_ONCE = 100
"""Answers written in one step of the log's server, which does nothing else meanwhile."""
_RECOUNT_MS = 10_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    name: str
    time_ms: int
    answer: Recommendation
    model: ServingModel
    """The one served when it was given, which knows how new its items are."""


class Recorder:
    """Signs answers, and keeps those that are measured.

    Args:
        store: where they are kept; None keeps none.
        receipts: signs them; None while the registry's secret is not known.
        served: gives the model being served.
        view: gives the catalogue being served.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        store: OnlineStore | None,
        receipts: Callable[[], Receipts | None],
        served: Callable[[], ServingModel],
        view: Callable[[], CatalogueView],
        metrics: Metrics,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._receipts = receipts
        self._served = served
        self._view = view
        self._metrics = metrics
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._items = 0
        self._known = (0, 0, 0)

    def issue(
        self, answers: Sequence[Recommendation], *, measured: bool = True
    ) -> list[Recommendation]:
        """The answers with their ids; they are written down later.

        Args:
            measured: whether they are recommendations, and not lists.
        """
        return [self._issue(one, measured) for one in answers]

    async def write(self) -> None:
        """Write down what waits.

        Raises:
            Unavailable: the log's server does not answer; what is not written waits on.
        """
        while self._waiting and self._store is not None:
            some = [self._waiting[at] for at in range(min(_AT_ONCE, len(self._waiting)))]
            await to_thread.run_sync(self._write, self._store, some)
            for one in some:
                self._waiting.popleft()
                self._items -= len(one.answer.items)

    def _issue(self, answer: Recommendation, measured: bool) -> Recommendation:
        receipts = self._receipts()
        if receipts is None:  # an id that nobody can read is still one of its own
            self._metrics.online_dropped.inc(measured)
            return replace(answer, recommendation_id=PREFIX + secrets.token_urlsafe(30))
        time_ms = self._clock()
        kind = answer.source if measured else OTHER
        text, receipt = receipts.issue(answer.model_version, kind, time_ms, answer.user_id)
        given = replace(answer, recommendation_id=text)
        if measured and self._store is not None:
            if self._items + len(given.items) > MAX_WAITING:
                self._metrics.online_dropped.inc()
            else:
                self._items += len(given.items)
                self._waiting.append(_Waiting(receipt.nonce, time_ms, given, self._served()))
        return given

    def _write(self, store: OnlineStore, some: Sequence[_Waiting]) -> None:
        """In a thread."""
        known = {one.answer.model_version: self._recommendable(one.model) for one in some}
        store.keep([_given(one) for one in some], known, self._clock())

    def _recommendable(self, model: ServingModel) -> int:
        """How many items there are to recommend: learned, or in the catalogue."""
        version, counted_ms, number = self._known
        if version != model.version or self._clock() - counted_ms > _RECOUNT_MS:
            dated = self._view().newest(frozenset())
            number = len(model.items) + sum(item not in model.items for _, item in dated)
            self._known = (model.version, self._clock(), number)
        return number


def _given(one: _Waiting) -> Given:
    items, model = one.answer.items, one.model
    shown = Shown(
        one.answer.model_version,
        tuple(item.item_id for item in items),
        tuple(item.source for item in items),
    )
    bits = None
    if model.novelty is not None:
        bits = [model.novelty.bits(model.items.row(item.item_id)) for item in items]
    return Given(one.name, one.time_ms, shown, shown.counts(bits))
