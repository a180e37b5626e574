"""Whether this replica is on its way out."""

from __future__ import annotations


class Drain:
    """Set once by the server's signal handler; read by readiness and by every answer."""

    def __init__(self) -> None:
        self._draining = False

    @property
    def draining(self) -> bool:
        return self._draining

    def begin(self) -> None:
        self._draining = True
