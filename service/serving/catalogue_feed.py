"""Keeps a replica's catalogue view current: its own writes at once, those of others by polling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from service.domain.catalogue import Item
from service.serving.catalogue import CatalogueView


class CatalogueFeed:
    """Holds the current view and replaces it in one assignment.

    Args:
        changes_since: reads every item written after a revision, tombstones included.
        content: told of every write that changes the view.
    """

    def __init__(
        self,
        changes_since: Callable[[int], Iterable[Item]],
        content: Callable[[Sequence[Item]], None] = lambda _: None,
    ) -> None:
        self._changes_since = changes_since
        self._content = content
        self._lock = threading.Lock()
        self._view = CatalogueView()
        self._polled = 0
        self._polled_at: float | None = None

    @property
    def view(self) -> CatalogueView:
        """The current view; take it once per request."""
        return self._view

    def age_s(self) -> float | None:
        """Seconds since the store last answered a poll, None before the first time."""
        return None if self._polled_at is None else time.monotonic() - self._polled_at

    def apply(self, items: Iterable[Item]) -> None:
        """Show a write of this replica before it is answered.

        The polled revision stays behind: a write of another replica may stand below this one.
        """
        with self._lock:
            written = [item for item in items if self._is_news(item)]
            self._view = self._view.with_items(written)
            self._content(written)

    def _is_news(self, item: Item) -> bool:
        known = self._view.entry(item.item_id)
        return known is None or item.revision > known.revision

    def poll(self) -> None:
        """Take over what was written since the last poll. Errors of the store pass through."""
        started = time.monotonic()
        items = list(self._changes_since(self._polled))
        if items:
            self.apply(items)
            self._polled = max(item.revision for item in items)
        self._polled_at = started
