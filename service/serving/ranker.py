"""Queries that wait together are ranked together, in one thread, off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from service.errors import Unavailable
from service.serving.retrieval import Ranked, Want, retrieve
from service.telemetry import Metrics

P = ParamSpec("P")
T = TypeVar("T")

_Waiting = tuple[Want, asyncio.Future[Ranked]]

_MAX_BATCH = 64
_MAX_WAITING = 1_024


class Ranker:
    """A bounded queue in front of one ranking thread.

    While the thread is busy, wants gather; when it is free, it takes up to 64 of those that rest on
    the same model, so that load makes batches larger instead of queues longer. Nothing waits for
    company when the thread is free.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ranking")
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    async def rank(self, want: Want) -> Ranked:
        """The best eligible items of `want`.

        Raises:
            Unavailable: too many wants are waiting.
        """
        if len(self._waiting) >= _MAX_WAITING:
            raise Unavailable("too many queries are waiting to be ranked")
        future: asyncio.Future[Ranked] = asyncio.get_running_loop().create_future()
        self._waiting.append((want, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in the ranking thread, after what it is busy with."""
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def close(self) -> None:
        """Finish what waits, then end the thread."""
        if self._worker is not None:
            await self._worker
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._take()
            started = time.perf_counter()
            wants = [want for want, _ in batch]
            try:
                ranked = await loop.run_in_executor(self._thread, retrieve, wants)
            except Exception as error:  # whatever the model raises is the askers' to handle
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            self._metrics.ranking_seconds.observe(time.perf_counter() - started)
            self._metrics.ranking_batch.observe(len(batch))
            for (_, future), items in zip(batch, ranked, strict=True):
                if not future.done():
                    future.set_result(items)

    def _take(self) -> list[_Waiting]:
        """The longest-waiting wants of one model, leaving the others in their order."""
        model = self._waiting[0][0].model
        batch: list[_Waiting] = []
        rest: list[_Waiting] = []
        for entry in self._waiting:
            fits = entry[0].model is model and len(batch) < _MAX_BATCH
            (batch if fits else rest).append(entry)
        self._waiting = rest
        return batch
