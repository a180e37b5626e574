"""Which events have come before: the window of remembered (user, event) ids.

Segments of 64-bit hashes, one per archived stretch, oldest first. A segment leaves when it is older
than the retention, or when there are more ids than `max_ids`; a client that repeats an event later
than that is refused at ingest by its timestamp, or learned twice. `reach_ms` says how far back the
window really goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from service.domain.interactions import Interaction, Position
from service.sections import LogSettings
from service.storage.archive import Archive
from service.storage.clock import DAY_MS
from service.storage.hashing import repeat_hash

Hashes = npt.NDArray[np.uint64]


def hashes_of(interactions: Iterable[Interaction]) -> Hashes:
    """What interactions are recognised by [n]."""
    found = [repeat_hash(event.user_id, event.event_id) for event in interactions]
    return np.array(found, dtype=np.uint64)


class RepeatWindow:
    """Remembers hashes for a while and tells a repeat from a first arrival.

    Args:
        max_ids: hashes remembered at most; at least the newest segment always stays.
        retention_ms: age in milliseconds of log time beyond which a segment is forgotten.
    """

    def __init__(self, max_ids: int, retention_ms: int) -> None:
        self._max_ids = max_ids
        self._retention_ms = retention_ms
        self._segments: deque[tuple[int, Hashes]] = deque()
        self._sorted: Hashes = np.empty(0, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def reach_ms(self) -> int | None:
        """Log time of the oldest segment remembered; None when nothing is."""
        return self._segments[0][0] if self._segments else None

    def repeats(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """True [n] where a hash is remembered, or stands earlier in `hashes` itself."""
        first = np.zeros(len(hashes), dtype=np.bool_)
        first[np.unique(hashes, return_index=True)[1]] = True
        return ~first | self._known(hashes)

    def remember(self, ms: int, hashes: Hashes) -> None:
        """Add the hashes of a stretch of the log that ends at `ms`, and forget what is too old."""
        if len(hashes):
            self._segments.append((ms, np.sort(hashes)))
        forgotten = self._forget(ms - self._retention_ms)
        parts = [part for _, part in self._segments] if forgotten else [self._sorted, hashes]
        joined = np.concatenate([*parts, np.empty(0, dtype=np.uint64)])
        self._sorted = np.sort(joined, kind="stable")

    def _known(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        if not len(self._sorted):
            return np.zeros(len(hashes), dtype=np.bool_)
        at = np.searchsorted(self._sorted, hashes)
        found = self._sorted[np.minimum(at, len(self._sorted) - 1)] == hashes
        return np.asarray(found, dtype=np.bool_)

    def _forget(self, before_ms: int) -> bool:
        held = sum(len(part) for _, part in self._segments)
        forgotten = False
        while len(self._segments) > 1 and (
            held > self._max_ids or self._segments[0][0] < before_ms
        ):
            held -= len(self._segments.popleft()[1])
            forgotten = True
        return forgotten


def nothing_remembered(settings: LogSettings) -> RepeatWindow:
    """An empty window of the bounds that are set."""
    return RepeatWindow(settings.dedupe_max_ids, settings.retention_days * DAY_MS)


def remembered(
    archive: Archive, settings: LogSettings, until: Position | None = None
) -> RepeatWindow:
    """The window of ids that the archive's recent files fill.

    Args:
        until: what was archived after it is left out; None is the end of the archive.
    """
    window = nothing_remembered(settings)
    end = archive.end() if until is None else min(archive.end(), until)
    since_ms = max(end.ms - settings.retention_days * DAY_MS, 0)
    for ms, hashes in archive.recent_hashes(since_ms, settings.dedupe_max_ids, until):
        window.remember(ms, hashes)
    return window
