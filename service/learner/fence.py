"""One learner at a time: the epoch.

Whoever takes the epoch fences everybody before: their commits fail with `StaleHead`. A learner
that starts takes it at once, since the one before it is most likely dead. One that finds itself
fenced stands by, or two would take turns, and takes over when the other has not been heard of.
"""

from __future__ import annotations

from collections.abc import Callable

from service.domain.versions import Head
from service.storage.registry import Registry


class Fence:
    """This learner's epoch.

    Args:
        registry: where the epoch is kept.
        is_another_alive: whether a learner other than this one has lately been heard of.
    """

    def __init__(self, registry: Registry, is_another_alive: Callable[[], bool]) -> None:
        self._registry = registry
        self._is_another_alive = is_another_alive
        self._epoch: int | None = None
        self._fenced = False

    def head(self) -> Head | None:
        """The head as it is; None while another learner holds the epoch."""
        if self._epoch is None:
            self._epoch = self._registry.take_epoch()
        head = self._registry.head()
        if head.epoch == self._epoch:
            return head
        if not self._fenced or self._is_another_alive():
            self._fenced = True
            return None
        self._epoch, self._fenced = self._registry.take_epoch(), False
        return self._registry.head()
