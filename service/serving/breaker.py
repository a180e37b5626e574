"""A breaker for a store that stopped answering: who waits in vain waits once, not each time."""

from __future__ import annotations

import time


class Breaker:
    """After a failure, calls are not tried for `rest_s`; then one is, and decides for the rest.

    Belongs to one event loop; not to be shared between threads.
    """

    def __init__(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self._closed_from = 0.0
        self._broken = False

    @property
    def broken(self) -> bool:
        return self._broken

    def allows(self) -> bool:
        """Whether to try now. A true while broken claims the one trial of this period."""
        if not self._broken:
            return True
        now = time.monotonic()
        if now < self._closed_from:
            return False
        self._closed_from = now + self._rest_s
        return True

    def succeeded(self) -> None:
        self._broken = False

    def failed(self) -> None:
        self._broken = True
        self._closed_from = time.monotonic() + self._rest_s
