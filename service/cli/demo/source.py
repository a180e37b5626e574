"""Where the demo's interactions come from: a file, or the synthetic stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from service.streams import BadStream, read_stream


@dataclass(frozen=True, slots=True)
class Row:
    """One interaction of a source; `number` counts from 0 and never changes its meaning."""

    number: int
    user_id: str
    item_id: str
    type: str = "click"
    value: float | None = None


class Source(Protocol):
    """A stream that can be read from any place, the same each time."""

    @property
    def name(self) -> str:
        """What it is, for people, in a few words."""

    @property
    def note(self) -> str:
        """What else there is to know of it; may be empty."""

    @property
    def digest(self) -> str:
        """Names the stream in event ids: the same rows have the same digest."""

    @property
    def total(self) -> int | None:
        """How many rows it has; None when it does not end."""

    def rows(self, start: int) -> Iterator[Row]:
        """The rows from number `start` on."""


class FileSource:
    """A file in any format that `service.streams` reads.

    The file's times order it already and are not sent: in the demo everything happens now. Every
    row is looked at before anything starts, so that a bad one is a sentence and not a surprise.

    Raises:
        BadStream: a row cannot be read as an interaction, or there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._total = sum(1 for _ in read_stream(path))
        if self._total == 0:
            raise BadStream(f"{path}: there are no interactions in it")
        with path.open("rb") as file:
            self._digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]

    @property
    def name(self) -> str:
        return f"{self._path.absolute().parent.name}/{self._path.name}"

    @property
    def note(self) -> str:
        return f"{self._total:,} interactions"

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def total(self) -> int | None:
        return self._total

    def rows(self, start: int) -> Iterator[Row]:
        for number, row in enumerate(islice(read_stream(self._path), start, None), start):
            yield Row(number, row.user_id, row.item_id, row.type, row.value)
