"""Answers that wait together are made together, in one thread, off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from service.domain.recommendations import Recommendation
from service.errors import Overloaded
from service.serving.answering import Answering, Task
from service.serving.exploring import Explorer
from service.serving.mixture import Mixture
from service.serving.model import ServingModel
from service.telemetry import Metrics

_MAX_BATCH = 64
MAX_WAITING = 4_096
"""Cost of all tasks admitted and not answered, above which no request is admitted."""


@dataclass(slots=True, eq=False)
class _Request:
    """The tasks of one request that are not in work yet, and its answers so far."""

    model: ServingModel
    waiting: deque[tuple[int, Task]]
    done: asyncio.Future[None]
    answers: dict[int, Recommendation] = field(default_factory=dict)
    size: int = 0


class Ranker:
    """A bounded queue of requests in front of one ranking thread.

    While the thread is busy, requests gather; when it is free, it takes up to 64 tasks that rest on
    the same model, one of each request in turn, so that load makes batches larger instead of queues
    longer and a request of a thousand does not stand before one of one. Nothing waits for company
    when the thread is free.
    """

    def __init__(
        self,
        metrics: Metrics,
        mixture: Mixture | None = None,
        explorer: Explorer | None = None,
    ) -> None:
        self._metrics = metrics
        self._answering = Answering(mixture, explorer)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ranking")
        self._requests: deque[_Request] = deque()
        self._cost = 0
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, tasks: Sequence[Task]) -> list[Recommendation]:
        """One answer per task, in their order; all tasks rest on the same model.

        Raises:
            Overloaded: too much is waiting already; an idle ranker admits any request.
        """
        if not tasks:
            return []
        cost = sum(task.cost for task in tasks)
        if self._cost and self._cost + cost > MAX_WAITING:
            self._metrics.overloaded.inc()
            raise Overloaded("too many answers are waiting to be made")
        done = asyncio.get_running_loop().create_future()
        request = _Request(tasks[0].scene.model, deque(enumerate(tasks)), done, size=len(tasks))
        self._requests.append(request)
        self._cost += cost
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            await done
        finally:
            self._cost -= cost
            request.waiting.clear()  # of a caller who has gone
        return [request.answers[place] for place in range(len(tasks))]

    async def between(self, work: Callable[[], None]) -> None:
        """Do `work` in the ranking thread, between two batches: nothing is ranked meanwhile."""
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Finish what waits, then end the thread."""
        if self._worker is not None:
            await self._worker
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._take():
            tasks = [task for _, _, task in batch]
            started = time.perf_counter()
            try:
                answers = await loop.run_in_executor(self._thread, self._answering.make, tasks)
            except Exception as error:  # whatever it is, it is the askers' to handle
                for request, _, _ in batch:
                    if not request.done.done():
                        request.done.set_exception(error)
                    request.waiting.clear()
                continue
            self._metrics.ranking_seconds.observe(time.perf_counter() - started)
            self._metrics.ranking_batch.observe(len(batch))
            for (request, place, _), answer in zip(batch, answers, strict=True):
                request.answers[place] = answer
                if len(request.answers) == request.size and not request.done.done():
                    request.done.set_result(None)

    def _take(self) -> list[tuple[_Request, int, Task]]:
        """Tasks of one model, one of each request in turn, the longest-waiting request first."""
        while self._requests and not self._requests[0].waiting:
            self._requests.popleft()
        batch: list[tuple[_Request, int, Task]] = []
        if not self._requests:
            return batch
        model, cost = self._requests[0].model, 0
        turn = deque(one for one in self._requests if one.model is model and one.waiting)
        while turn and cost < _MAX_BATCH:
            request = turn.popleft()
            place, task = request.waiting.popleft()
            batch.append((request, place, task))
            cost += task.cost
            if request.waiting:
                turn.append(request)
        self._requests = deque(one for one in self._requests if one.waiting)
        return batch
