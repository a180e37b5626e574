"""How the files of a window are called in the archive: by where it starts and what it builds on."""

from __future__ import annotations

from typing import Any

from service.domain.interactions import Position
from service.domain.versions import WindowRecord


def draw_name(start: Position, parent: int) -> str:
    """The replay draw of the window after `start` learned from version `parent`."""
    return f"{start}-on-{parent}"


def admitted_name(start: Position, parent: int) -> str:
    """The samples that the window brings into the replay buffer."""
    return f"{start}-on-{parent}-admitted"


def facts(window: WindowRecord) -> dict[str, Any]:
    """What a window was, as manifests and metrics record it: with these it can be learned again."""
    return {
        "window_id": window.window_id,
        "start": str(window.start),
        "end": str(window.end),
        "parent": window.parent,
        "seed": window.seed,
        "draw_digest": window.draw_digest,
        "lessons_digest": window.lessons_digest,
        "events": window.events,
        "rate": window.rate,
    }
