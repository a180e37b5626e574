"""The named places where a fault test may interrupt; in production nothing happens there."""

from __future__ import annotations

from collections.abc import Callable

Reached = Callable[[str], None]

OPENED = "opened"
READ = "read"
COUNTED = "counted"
WRITTEN = "written"
BUILT = "built"
RENEWED = "renewed"
SWEPT = "swept"

STEPS = (OPENED, READ, COUNTED, WRITTEN)
"""Of each batch."""
RENEWING = (BUILT, RENEWED, SWEPT)
"""Of a new generation."""


def go_on(step: str) -> None:
    """What production does at every step: nothing."""
