"""Recorded interactions and items, as the evaluation takes them."""

from __future__ import annotations

from pathlib import Path

from models.evaluation.stream import Columns
from service.domain.weights import EventWeights
from service.settings import Settings
from service.streams import BadStream, read_records, read_stream


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


def read_item_ids(path: Path) -> set[str]:
    """The ids of an item file.

    Raises:
        BadStream: the file cannot be read.
    """
    return {str(record["item_id"]) for _, record in read_records(path, ("item_id",))}
