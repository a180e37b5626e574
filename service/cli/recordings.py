"""Recorded interactions and items, as the evaluation takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from models.content.features import Content
from models.evaluation.stream import Columns
from service.domain.weights import EventWeights
from service.settings import Settings
from service.streams import BadStream, read_records, read_stream

_NAMED: Final = frozenset({"item_id", "title", "description", "categories", "tags"})


def read_columns(path: Path, settings: Settings) -> Columns:
    """The file's events with the weights that the service would give them.

    Raises:
        BadStream: the file cannot be read, or names an event type the settings do not know.
    """
    weights = EventWeights(settings.event_types, settings.positive_from)
    columns = Columns([], [], [], [], [], [])
    for row in read_stream(path):
        if row.type not in settings.event_types:
            known = ", ".join(settings.event_types)
            raise BadStream(f"{path}, line {row.line}: type {row.type!r} is not one of {known}")
        columns.append(
            row.user_id,
            row.item_id,
            time_ms=row.time_ms,
            type=row.type,
            weight=weights.weight(row.type, row.value),
            period=row.period,
        )
    return columns


def read_contents(path: Path) -> dict[str, Content]:
    """What items say of themselves, by id: `title`, `description`, `categories` and `tags` (lists,
    or text parted by `|`), and every other column that is text and no number.

    Raises:
        BadStream: the file cannot be read.
    """
    return {
        str(record["item_id"]): _content(record) for _, record in read_records(path, ("item_id",))
    }


def _content(record: Mapping[str, Any]) -> Content:
    return Content(
        title=str(record.get("title") or ""),
        description=str(record.get("description") or ""),
        categories=_labels(record.get("categories")),
        tags=_labels(record.get("tags")),
        attributes={
            name: value
            for name, value in record.items()
            if name not in _NAMED and isinstance(value, str) and not _is_number(value)
        },
    )


def _labels(value: Any) -> tuple[str, ...]:
    parts = value.split("|") if isinstance(value, str) else value or ()
    return tuple(dict.fromkeys(str(part) for part in parts if part))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
