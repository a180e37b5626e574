"""200 changes of version under load: failed requests, mixed answers, and what they cost.

Two versions are activated in turn while eight connections ask for one session's recommendations.
An answer is mixed when its items are not those that its version answered when nothing changed.
The reference of the latencies is the same load, in the same run, without changes.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from benchmarks.client import Load, call, load, post
from benchmarks.figures import Figure
from benchmarks.serving import replica

SWAPS = 200
CONNECTIONS = 8
STEADY_S = 5.0
SESSION = {"requests": [{"history": [f"i{n * 29}" for n in range(20)]}], "limit": 20}


def run() -> Iterator[Figure]:
    """Failures, torn answers, seconds to a swap, and latencies with and without swaps."""
    with replica(versions=2) as (settings, versions):
        port = settings.port
        expected = {version: _scores(_activated(port, version)) for version in versions}
        requests = [post("/v1/recommendations", SESSION)]
        steady = asyncio.run(load(port, requests, connections=CONNECTIONS, seconds=STEADY_S))
        found, torn, swaps_s = asyncio.run(_under_load(port, requests, versions, expected))
    yield Figure("swaps", float(len(swaps_s)), "swaps")
    yield Figure("requests meanwhile", float(len(found.latencies_s)), "requests")
    yield Figure("failed requests", float(found.failed), "requests")
    yield Figure("answers that mix versions", float(torn), "answers")
    yield Figure("activation to its first answer, median", statistics.median(swaps_s) * 1000, "ms")
    yield Figure("activation to its first answer, longest", max(swaps_s) * 1000, "ms")
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        yield Figure(f"{name} without swaps", steady.at(share) * 1000, "ms")
        ratio = found.at(share) / steady.at(share)
        yield Figure(
            f"{name} with swaps", found.at(share) * 1000, "ms", ratio, f"{name} without swaps"
        )


async def _under_load(
    port: int,
    requests: Sequence[bytes],
    versions: Sequence[int],
    expected: dict[int, dict[str, float]],
) -> tuple[Load, int, list[float]]:
    torn = 0
    asking = True

    def check(body: bytes) -> None:
        nonlocal torn
        answer = orjson.loads(body)["results"][0]
        torn += not _same(_scores(answer), expected[answer["model_version"]])

    async def ask() -> Load:
        whole = Load()
        while asking:
            part = await load(port, requests, connections=CONNECTIONS, seconds=0.5, check=check)
            whole.latencies_s += part.latencies_s
            whole.failed += part.failed
            whole.seconds += part.seconds
        return whole

    load_task = asyncio.create_task(ask())
    swaps_s = []
    for swap in range(SWAPS):
        began = time.perf_counter()
        await asyncio.to_thread(_activated, port, versions[swap % len(versions)])
        swaps_s.append(time.perf_counter() - began)
    asking = False
    return await load_task, torn, swaps_s


def _activated(port: int, version: int) -> dict[str, Any]:
    """Activate a version; the first answer that comes from it."""
    call(port, "POST", f"/v1/admin/models/{version}/activate", {})
    while True:
        answer: dict[str, Any] = call(port, "POST", "/v1/recommendations", SESSION)["results"][0]
        if answer["model_version"] == version:
            return answer
        time.sleep(0.002)


def _scores(answer: dict[str, Any]) -> dict[str, float]:
    return {item["item_id"]: item["score"] for item in answer["items"]}


def _same(found: dict[str, float], expected: dict[str, float]) -> bool:
    """Equal but for rounding, which depends on how many queries were ranked together."""
    shared = found.keys() & expected.keys()
    return len(shared) >= len(expected) - 1 and all(
        abs(found[item] - expected[item]) < 1e-3 for item in shared
    )
