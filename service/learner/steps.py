"""The named steps of a commit: what a fault test may interrupt.

The learner calls `Reached` after each; in production it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable

Reached = Callable[[str], None]

DRAWN = "drawn"
OPENED = "opened"
ARCHIVED = "archived"
SCORED = "scored"
LEARNED = "learned"
JUDGED = "judged"
WRITTEN = "written"
COMMITTED = "committed"
ADMITTED = "admitted"
JOINED = "joined"
TRIMMED = "trimmed"
NOTIFIED = "notified"
PRUNED = "pruned"

STEPS = (
    DRAWN,
    OPENED,
    ARCHIVED,
    SCORED,
    LEARNED,
    JUDGED,
    WRITTEN,
    COMMITTED,
    ADMITTED,
    JOINED,
    TRIMMED,
    NOTIFIED,
    PRUNED,
)


def go_on(step: str) -> None:
    """What production does at every step: nothing."""
