"""From the 202 of an event to the first changed answer, on a running api.

Per user: ask until the answer stands, post one click on its first item, and ask from the moment of
the 202 until the answer is another. The reference is one request for the same user without an
event between, so a ratio near 1 says that the very next request saw the event.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks.client import call
from benchmarks.figures import Figure
from benchmarks.serving import post_histories, replica

USERS = 300
PATH = "/v1/users/u{}/recommendations?limit=20"


def run() -> Iterator[Figure]:
    """Median and p99 of the time to the first changed answer."""
    with replica() as (settings, _):
        post_histories(settings.port)
        requests = [_seconds_of_a_request(settings.port, user) for user in range(USERS)]
        changed = [_seconds_to_a_change(settings.port, user) for user in range(USERS)]
    asked = [times for _, times in changed]
    waited = [seconds for seconds, _ in changed]
    for share, name in ((0.5, "median"), (0.99, "p99")):
        plain, fresh = _at(requests, share), _at(waited, share)
        yield Figure(f"one request, {name}", plain * 1000, "ms")
        yield Figure(
            f"202 to the first changed answer, {name}",
            fresh * 1000,
            "ms",
            fresh / plain,
            f"one request, {name}",
        )
    yield Figure("requests until the change, mean", statistics.mean(asked), "requests")


def _seconds_of_a_request(port: int, user: int) -> float:
    began = time.perf_counter()
    call(port, "GET", PATH.format(user))
    return time.perf_counter() - began


def _seconds_to_a_change(port: int, user: int) -> tuple[float, int]:
    """Seconds and requests until the answer changed.

    Raises:
        RuntimeError: it did not within 10 s.
    """
    before = _items(port, user)
    event = {"user_id": f"u{user}", "item_id": before[0]}
    call(port, "POST", "/v1/events", {"events": [event]})
    began = time.perf_counter()
    for asked in range(1, 10_000):
        if _items(port, user) != before:
            return time.perf_counter() - began, asked
        if time.perf_counter() - began > 10:
            break
    raise RuntimeError("the answer did not change")


def _items(port: int, user: int) -> list[str]:
    return [item["item_id"] for item in call(port, "GET", PATH.format(user))["items"]]


def _at(seconds: list[float], share: float) -> float:
    return sorted(seconds)[min(int(share * len(seconds)), len(seconds) - 1)]
