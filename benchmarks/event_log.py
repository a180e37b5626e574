"""Events per second into the log: one packed entry per request against one entry per event.

Both write to the same server (appending to a file, fsync `everysec`) in interleaved rounds of one
run. The reference is what a queue would do: `XADD` of each event, pipelined by 100. Beside it a
packed entry of 100 events alone, and the whole ingest step of a request of 100 events: packed
entry, histories, popularity and first-seen in one script, one request after the other.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import redis

from benchmarks.figures import Figure
from service.cli.embedded import EmbeddedRedis
from service.domain.interactions import START, Interaction
from service.domain.weights import EventWeights
from service.sections import LogSettings
from service.storage.clock import now_ms
from service.storage.connections import connect, connect_async
from service.storage.entries import pack
from service.storage.event_log import EventLog
from service.storage.ingest import Ingest
from service.storage.keys import Keys

BATCH = 100
REQUESTS = 100
ROUNDS = 5
EVENTS = BATCH * REQUESTS


def run() -> Iterator[Figure]:
    """Writing three ways, and reading; ratios to one entry per event."""
    with (
        tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory,
        EmbeddedRedis(Path(directory), fsync="everysec") as server,
        connect(server.url) as client,
    ):
        yield from _figures(client, server.url)


def _figures(client: redis.Redis, url: str) -> Iterator[Figure]:
    requests = _requests()
    ways: dict[str, Callable[[], None]] = {
        "one entry per event": lambda: _one_by_one(client, requests),
        "one packed entry per request": lambda: _packed(client, requests),
        "the whole ingest step": lambda: _ingest(url, requests),
        "reading packed entries": lambda: _read(client),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        client.flushall()
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    rates = {name: EVENTS / statistics.median(spent) for name, spent in seconds.items()}
    reference = next(iter(rates))
    for name, rate in rates.items():
        ratio = None if name == reference else rate / rates[reference]
        yield Figure(name, rate, "events/s", ratio, "" if ratio is None else reference)


def _requests() -> list[list[Interaction]]:
    """Requests of 100 events of 20 users each."""
    now = now_ms()
    return [
        [
            Interaction(
                f"u{(r * 7 + n) % 20 + 20 * (r % 50)}", f"i{n * 37 % 500}", "click", now, f"{r}-{n}"
            )
            for n in range(BATCH)
        ]
        for r in range(REQUESTS)
    ]


def _one_by_one(client: redis.Redis, requests: list[list[Interaction]]) -> None:
    for request in requests:
        with client.pipeline(transaction=False) as pipe:
            for event in request:
                pipe.xadd("one-by-one", {"p": msgspec.msgpack.encode(event)})
            pipe.execute()


def _packed(client: redis.Redis, requests: list[list[Interaction]]) -> None:
    for request in requests:
        client.xadd("packed", {"p": pack(request)})


def _ingest(url: str, requests: list[list[Interaction]]) -> None:
    async def append() -> None:
        client = connect_async(url, timeout_s=5.0)
        ingest = Ingest(client, Keys("bench"), LogSettings(), EventWeights({"click": 1.0}))
        for request in requests:
            await ingest.append(request)
        await client.aclose()

    asyncio.run(append())


def _read(client: redis.Redis) -> None:
    log, position, events = EventLog(client, Keys("bench")), START, 0
    while page := log.read(position, 1_000):
        position, events = page[-1].position, events + sum(len(e.interactions) for e in page)
    if events != EVENTS:
        raise RuntimeError(f"{events} events were read, {EVENTS} were written")
