"""What events take, in bytes: texts in UTF-8, 4 for a weight, 8 for a key or a time."""

from __future__ import annotations

from collections.abc import Iterable

from models.interactions import Event

WEIGHT_BYTES = 4
NUMBER_BYTES = 8


def event_bytes(events: Iterable[Event]) -> int:
    """Bytes of events in a log: user, item, type, weight, key and time."""
    return sum(
        _text_bytes((event.user_id, event.item_id, event.type)) + WEIGHT_BYTES + 2 * NUMBER_BYTES
        for event in events
    )


def _text_bytes(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)
