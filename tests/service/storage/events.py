"""Interactions for the tests of this room."""

from __future__ import annotations

import time

from service.domain.interactions import Interaction

HOUR_MS = 3_600_000
NOW_MS = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS + HOUR_MS // 2
"""The middle of this hour: near the server's own clock, and the same for a whole session."""


def click(
    user: str = "u1", item: str = "i1", event_id: str = "e1", **fields: object
) -> Interaction:
    """A click by `user` on `item`."""
    known = {"type": "click", "time_ms": NOW_MS, **fields}
    return Interaction(user_id=user, item_id=item, event_id=event_id, **known)  # type: ignore[arg-type]
