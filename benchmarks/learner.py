"""The running learner: from an event to a published version, and positions trained per second.

The learner runs as its own process with the default model (GRU, 50-step histories, online EWC and
replay) on a log of users who each keep to a part of the catalogue. A window of many events gives
the throughput of the update (positions trained by the seconds the update took, Fisher and all, by
the learner's own clock) and what everything around it costs: the reference is the update alone.
Small windows, one after the other, give the time from the 202 of the last event that fills a
window to the version in the registry.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure
from service.cli.embedded import EmbeddedRedis
from service.domain.interactions import Interaction
from service.domain.versions import VersionRecord
from service.domain.weights import EventWeights
from service.sections import LogSettings
from service.storage import database
from service.storage.clock import now_ms
from service.storage.connections import connect_async
from service.storage.ingest import Ingest
from service.storage.keys import Keys
from service.storage.registry import Registry

USERS, ITEMS, HISTORY = 400, 2_000, 50
LARGE = USERS * HISTORY
SMALL = 200
LARGE_WINDOWS = 3
SMALL_WINDOWS = 7
_WAIT_S = 300.0


def run() -> Iterator[Figure]:
    """Throughput with large windows, then latency with small ones."""
    with (
        tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory,
        EmbeddedRedis(Path(directory), fsync="everysec") as server,
    ):
        url = f"sqlite:///{directory}/freshet.sqlite"
        database.migrate(url)
        engine = database.connect(url)
        registry = Registry(engine)
        try:
            yield from _throughput(registry, Path(directory), server.url)
            yield from _latency(registry, Path(directory), server.url)
        finally:
            engine.dispose()


def _throughput(registry: Registry, directory: Path, url: str) -> Iterator[Figure]:
    for number in range(LARGE_WINDOWS):
        _post(url, _events(LARGE, number), batch=1_000)
    with _learner(directory, url, LARGE):
        until = registry.head().tip + LARGE_WINDOWS
        began = time.perf_counter()
        _await(lambda: registry.head().tip >= until)
        spent_s = time.perf_counter() - began
    versions = [registry.version(until - number) for number in range(LARGE_WINDOWS - 1)]
    update_s = statistics.median(float(record.metrics["update_s"]) for record in versions)
    rate = statistics.median(float(record.metrics["positions_per_s"]) for record in versions)
    window_s = statistics.median(_between(registry, record) for record in versions)
    name = f"the update alone, {LARGE} events"
    yield Figure("positions trained, replay and Fisher included", rate, "positions/s")
    yield Figure(name, update_s, "s")
    yield Figure("the whole window, test to publish", window_s, "s", window_s / update_s, name)
    events_per_s = LARGE_WINDOWS * LARGE / spent_s
    yield Figure("events learned, start of the process included", events_per_s, "events/s")


def _latency(registry: Registry, directory: Path, url: str) -> Iterator[Figure]:
    waits = []
    with _learner(directory, url, SMALL):
        for number in range(SMALL_WINDOWS + 1):
            tip = registry.head().tip
            _post(url, _events(SMALL, 100 + number), batch=SMALL)
            began = time.perf_counter()
            _await(lambda tip=tip: registry.head().tip > tip)  # type: ignore[misc]
            waits.append(time.perf_counter() - began)
    waits = waits[1:]  # the first waits for the process to start
    update_s = float(registry.version(registry.head().tip).metrics["update_s"])
    name = f"the update alone, {SMALL} events"
    yield Figure(name, update_s, "s")
    middle, worst = statistics.median(waits), max(waits)
    yield Figure("event to published version, median", middle, "s", middle / update_s, name)
    yield Figure("event to published version, worst", worst, "s", worst / update_s, name)


def _between(registry: Registry, record: VersionRecord) -> float:
    """Seconds from the parent's publication to the version's."""
    return (record.created_ms - registry.version(record.version - 1).created_ms) / 1_000


def _events(count: int, seed: int) -> list[Interaction]:
    """Events of users who take `HISTORY` steps each, among a hundred items of their own taste."""
    generator = np.random.default_rng(seed)
    users = generator.permutation(np.arange(count) % USERS)
    items = (users * 7 + generator.integers(100, size=count)) % ITEMS
    now = now_ms()
    return [
        Interaction(f"u{user}", f"i{item}", "click", now, f"{seed}-{number}")
        for number, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True))
    ]


def _post(url: str, events: list[Interaction], batch: int) -> None:
    async def append() -> None:
        async with connect_async(url, timeout_s=5.0) as client:
            ingest = Ingest(client, Keys("freshet"), LogSettings(), EventWeights({"click": 1.0}))
            for start in range(0, len(events), batch):
                await ingest.append(events[start : start + batch])

    asyncio.run(append())


@contextmanager
def _learner(directory: Path, url: str, max_events: int) -> Iterator[None]:
    """The learner as `freshet learner` runs it."""
    environment = {
        **os.environ,
        "FRESHET_DATA_DIR": str(directory),
        "FRESHET_REDIS_URL": url,
        "FRESHET_WINDOW__MAX_EVENTS": str(max_events),
        "FRESHET_WINDOW__MAX_AGE_S": "3600",
        "FRESHET_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "service", "learner"], env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _await(test: Callable[[], bool]) -> None:
    until_s = time.monotonic() + _WAIT_S
    while not test():
        if time.monotonic() > until_s:
            raise TimeoutError(f"not within {_WAIT_S:.0f} s")
        time.sleep(0.01)
