"""Recorded interactions and items, as the evaluation takes them."""

from __future__ import annotations

from pathlib import Path

from models.evaluation.stream import Columns
from service.settings import Settings
from service.streams import BadStream, read_records, read_stream


def read_columns(path: Path, settings: Settings) -> Columns:
    """The file's events with the weights that the service would give them.

    Raises:
        BadStream: the file cannot be read, or names an event type the settings do not know.
    """
    columns = Columns([], [], [], [], [], [])
    for row in read_stream(path):
        weight = settings.event_types.get(row.type)
        if weight is None:
            known = ", ".join(settings.event_types)
            raise BadStream(f"{path}, line {row.line}: type {row.type!r} is not one of {known}")
        least = settings.positive_from.get(row.type)
        disliked = least is not None and row.value is not None and row.value < least
        columns.append(
            row.user_id,
            row.item_id,
            time_ms=row.time_ms,
            type=row.type,
            weight=0.0 if disliked else weight,
            period=row.period,
        )
    return columns


def read_item_ids(path: Path) -> set[str]:
    """The ids of an item file.

    Raises:
        BadStream: the file cannot be read.
    """
    return {str(record["item_id"]) for _, record in read_records(path, ("item_id",))}
