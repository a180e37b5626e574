"""The archive's files, one behind the other: which part of which file is read.

A file covers the entries after `start` up to and with `end`, and says so in its name. Two files may
overlap: a merged one stands beside its parts until these are deleted, and a learner that was paused
in the middle of a write may finish it after another has taken over. So reading does not trust that
files fit together: it goes from file to file, always to the one that reaches furthest, and takes of
each only what lies behind the end reached. What comes out depends on the names alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.domain.interactions import START, Position

_NAME = re.compile(r"^(\d+-\d+)_(\d+-\d+)\.parquet$")


@dataclass(frozen=True, slots=True)
class Link:
    """A file, and the part of it that is read: after `start` up to and with `end`."""

    path: Path
    start: Position
    end: Position


def file_name(start: Position, end: Position) -> str:
    """What the file of that range is called."""
    return f"{start}_{end}.parquet"


def files(directory: Path) -> list[Link]:
    """All of them, each with the whole of its range; what is named otherwise is left alone."""
    found = ((path, _NAME.match(path.name)) for path in directory.iterdir())
    return [
        Link(path, Position.parse(name[1]), Position.parse(name[2]))
        for path, name in found
        if name is not None
    ]


def chain(links: Iterable[Link]) -> list[Link]:
    """The parts that are read, in the order of the log; no two of them overlap."""
    rest = sorted(links, key=lambda link: (link.start, link.end))
    found: list[Link] = []
    reached, at = START, 0
    while at < len(rest):
        best = rest[at]
        while at < len(rest) and rest[at].start <= max(reached, best.start):
            best = max(best, rest[at], key=lambda link: link.end)
            at += 1
        if best.end > reached:
            found.append(Link(best.path, max(best.start, reached), best.end))
            reached = best.end
    return found
