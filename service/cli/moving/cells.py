"""What a CSV cell cannot say by itself: lists, objects, yes and no, times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.api.schemas.fields import format_time
from service.streams import time_ms

_WORDS = {"true": True, "1": True, "false": False, "0": False}


def list_cell(labels: Sequence[str]) -> str:
    """Labels separated by `|`, or a JSON list where that could be misread."""
    if any("|" in label for label in labels) or (labels and labels[0].startswith("[")):
        return json.dumps(list(labels), ensure_ascii=False)
    return "|".join(labels)


def labels_of(text: str) -> Any:
    """What `list_cell` wrote.

    Raises:
        ValueError: it begins like a JSON list and is none.
    """
    return read_json(text) if text.startswith("[") else text.split("|")


def read_json(text: str) -> Any:
    """A cell of JSON.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{text[:40]!r} is no JSON: {getattr(error, 'msg', error)}") from None


def item_field(name: str, value: Any) -> Any:
    """A field of an item as JSON has it, from whatever a format has in its place.

    Raises:
        ValueError: a cell that cannot be read.
    """
    if isinstance(value, datetime):
        return format_time(time_ms(value))
    if name == "item_id":
        return str(value)
    if not isinstance(value, str):
        return value
    if name in ("categories", "tags"):
        return labels_of(value)
    if name == "attributes":
        return read_json(value)
    if name == "available":
        return _WORDS.get(value.lower(), value)
    return value
