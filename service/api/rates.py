"""Requests per second and key: token buckets."""

from __future__ import annotations

import time

from service.errors import RateLimited

_BURST_S = 2.0


class Rates:
    """One bucket per key, which holds two seconds' worth of requests.

    Args:
        per_s: requests per second; 0 is without limit.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * _BURST_S)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> None:
        """Take one request from the bucket of the key `name`.

        Raises:
            RateLimited: it is empty; says when it will not be.
        """
        if not self._per_s:
            return
        now = time.monotonic()
        level, since = self._buckets.get(name, (self._most, now))
        level = min(self._most, level + (now - since) * self._per_s)
        if level < 1.0:
            self._buckets[name] = (level, now)
            raise RateLimited("this key asks too often", (1.0 - level) / self._per_s)
        self._buckets[name] = (level - 1.0, now)
