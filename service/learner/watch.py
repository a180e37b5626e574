"""Is it time to cut a window?

By count, by the age of the oldest unlearned entry, or because a job asks: whichever is first.
"""

from __future__ import annotations

from service.domain.interactions import Position
from service.learner.unlearned import Cut, Unlearned
from service.sections import WindowSettings


class Watch:
    """Decides when the unlearned stretch of the log becomes a window."""

    def __init__(self, unlearned: Unlearned, settings: WindowSettings) -> None:
        self._unlearned = unlearned
        self._settings = settings

    def look(
        self,
        after: Position,
        now_ms: int,
        until: Position | None = None,
        interval: float = 1.0,
    ) -> Cut | None:
        """The window to learn now; None when it is not time.

        A cut of no events is due at once: there is nothing in it to wait for.

        Args:
            after: how far the log is learned.
            now_ms: the log's clock, in Unix milliseconds.
            until: a job covers the log up to here: cut at once, and not beyond.
            interval: what the configured count and age are multiplied by.
        """
        first = self._unlearned.cut(after, 1, until)
        if first is None or not first.events:
            return first
        most = max(1, round(self._settings.max_events * interval))
        asked = until is not None
        if asked or self.due_ms(first, interval) <= now_ms or self._unlearned.count(after) >= most:
            return self._unlearned.cut(after, most, until)
        return None

    def due_ms(self, first: Cut, interval: float = 1.0) -> int:
        """When the entry that `first` begins with is old enough, by the log's clock."""
        return first.oldest_ms + round(self._settings.max_age_s * interval * 1_000)
