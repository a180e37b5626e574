"""Work that comes back, beside answering; a store that is down stops none of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from service.errors import FreshetError
from service.logs import get_logger
from service.telemetry import Metrics

_RESTART_S = 1.0

log = get_logger("upkeep")


class Recurring:
    """Periodic tasks on the event loop, each first run before the replica starts to answer."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tasks: list[asyncio.Task[None]] = []
        self._down: set[str] = set()
        self._closing = False

    async def every(
        self, period_s: float, name: str, store: str, work: Callable[[], Awaitable[object]]
    ) -> None:
        """Run `work` now, and every `period_s` from then on.

        Args:
            name: of the work, for the log.
            store: whose absence its failure shows: `log` or `database`.
        """
        await self._once(name, store, work)
        self._tasks.append(asyncio.create_task(self._repeat(period_s, name, store, work)))

    def always(self, name: str, store: str, work: Callable[[], Awaitable[object]]) -> None:
        """Run `work`, which does not end by itself, and run it again when it fails."""
        self._tasks.append(asyncio.create_task(self._repeat(_RESTART_S, name, store, work)))

    async def close(self) -> None:
        """End all work. Python 3.11 may lose a cancellation inside a timeout; the flag does not."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(
        self, period_s: float, name: str, store: str, work: Callable[[], Awaitable[object]]
    ) -> None:
        while not self._closing:
            await asyncio.sleep(period_s)
            await self._once(name, store, work)

    async def _once(self, name: str, store: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except FreshetError as error:
            self._metrics.store_up.labels(store).set(0)
            if name not in self._down:
                log.warning("upkeep fails", work=name, store=store, error=str(error))
            self._down.add(name)
        except Exception:  # a task that dies is not noticed until it is missed
            log.exception("upkeep failed", work=name)
        else:
            self._metrics.store_up.labels(store).set(1)
            if name in self._down:
                log.info("upkeep works again", work=name, store=store)
            self._down.discard(name)
