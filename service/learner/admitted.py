"""What versions left on file for the replay buffer, and what of it is still of use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from models.interactions import Sample
from service.domain.interactions import Position
from service.domain.versions import VersionRecord
from service.errors import CorruptEntry
from service.learner.names import admitted_name, draw_name
from service.storage.archive import Archive


def admitted_samples(archive: Archive, record: VersionRecord) -> list[Sample] | None:
    """The samples that a version was the first to train on; None when they are on file no more."""
    window = record.metrics.get("window")
    if window is None or record.window_id is None:
        return []
    try:
        return archive.read_draw(_name(window, admitted_name), window["admitted"])
    except (CorruptEntry, KeyError):
        return None


def files_of(records: Iterable[VersionRecord]) -> set[tuple[str, str]]:
    """(name, digest) of the draws and admitted samples that these versions name."""
    windows = [record.metrics.get("window") for record in records]
    return {
        (_name(window, of), window[digest])
        for window in windows
        if window is not None
        for of, digest in ((draw_name, "draw_digest"), (admitted_name, "admitted"))
        if digest in window
    }


def _name(window: dict[str, Any], of: Callable[[Position, int], str]) -> str:
    return of(Position.parse(window["start"]), int(window["parent"]))
