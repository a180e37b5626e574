"""The archive: the log's entries for good, in Parquet files named by the range they cover.

What is archived already is not written again, and where files overlap all the same (a writer that
slept, a merge in work) reading takes each position from one of them: see `service.storage.chain`.
Beside the events stands the learner's finding whether each one is a repeat, and the hash by which
it was found.

The replay draws of windows and the mixer's lessons lie beside them, named by their digest. What
packs draws brings torch along, so it is imported where it is used: who reads events alone is spared
250 MB and seconds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.domain.interactions import MAX_TIME_MS, START, LogEntry, Position
from service.errors import Conflict
from service.storage import parquet
from service.storage.chain import Link, chain, file_name, files
from service.storage.compaction import compact
from service.storage.drawn import Drawn
from service.storage.files import Step, no_step, write_file
from service.storage.lessons import Told
from service.storage.lessons import pack_many as pack_lessons
from service.storage.lessons import unpack_many as unpack_lessons
from service.storage.parquet import ArchivedEvent

if TYPE_CHECKING:
    from models.interactions import Sample

Hashes = npt.NDArray[np.uint64]
T = TypeVar("T")


class Archive:
    """Files under `directory`; one writer (the learner), any number of readers.

    Args:
        directory: made when it is not there.
        step: called before each step of a write.
    """

    def __init__(self, directory: Path, *, step: Step = no_step) -> None:
        self._events = directory / "events"
        self._draws = Drawn(directory / "draws", step)
        self._lessons = Drawn(directory / "lessons", step)
        self._step = step
        self._events.mkdir(parents=True, exist_ok=True)

    def end(self) -> Position:
        """The last position that is archived; START for an empty archive."""
        return max((link.end for link in files(self._events)), default=START)

    def covers(self, position: Position) -> bool:
        """Whether everything up to and with `position` is archived."""
        return position <= self.end()

    def write(
        self,
        start: Position,
        end: Position,
        entries: Sequence[LogEntry],
        repeats: Sequence[bool],
    ) -> None:
        """Archive the entries after `start` up to and with `end`; what is there already stays.

        Args:
            entries: all of the range, in the order of the log.
            repeats: for each interaction of `entries`, in order, whether it is a repeat.

        Raises:
            Conflict: `entries` do not lie in the range, or flags and events differ in number.
        """
        rows = rows_of(entries, repeats)
        if any(not start < row.position <= end for row in rows):
            raise Conflict(f"entries outside of ({start}, {end}] cannot be archived there")
        start = max(start, self.end())
        if end <= start:
            return
        table = parquet.table_of([row for row in rows if row.position > start])
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        write_file(self._events / file_name(start, end), buffer.getvalue(), self._step)

    def read(
        self, after: Position = START, until: Position | None = None
    ) -> Iterator[ArchivedEvent]:
        """Archived events after `after` up to and with `until`, in the order of the log.

        Raises:
            CorruptEntry: a file cannot be read, or is of a format this release does not know.
        """
        for _, part in self._each(after, until, parquet.tables):
            yield from parquet.events_of(part)

    def count(self, after: Position, until: Position | None = None) -> int:
        """Archived events after `after` up to and with `until`, from what the files say of
        themselves."""
        return sum(
            rows for _, rows in self._each(after, until, lambda link: [parquet.row_count(link)])
        )

    def events_of(
        self, user_id: str, after: Position = START
    ) -> Iterator[tuple[int, list[ArchivedEvent]]]:
        """One user's archived events, in the order of the log.

        Yields:
            (when the earliest event of any user that is still to be read may have happened, in
            Unix milliseconds; the events found since).
        """
        times: dict[Path, int] = {}
        for link, found in self._each(after, None, lambda link: [_all_of(link, user_id)]):
            yield self._earliest_ms(link.end, times), found

    def _earliest_ms(self, after: Position, times: dict[Path, int]) -> int:
        """A bound from below of the times of what is archived behind `after`.

        Args:
            times: what is known of the files, and will be.
        """
        while True:
            try:
                links = self._links(after, None)
                for link in links:
                    if link.path not in times:
                        times[link.path] = parquet.earliest_ms(link)
                return min((times[link.path] for link in links), default=MAX_TIME_MS)
            except FileNotFoundError:  # merged meanwhile
                continue

    def recent_hashes(
        self, since_ms: int, max_ids: int, until: Position | None = None
    ) -> list[tuple[int, Hashes]]:
        """The repeat window as it stood at `until`, for a reader of the log that starts.

        Args:
            since_ms: what came before (log time) is left out.
            max_ids: the newest stretches with at most so many hashes, but at least one.
            until: what came after it is left out, too; None is the end of the archive.

        Returns:
            (end in ms, hashes of its first arrivals [n]) of each stretch, oldest first.
        """
        after = Position(since_ms, 0)
        segments: list[tuple[int, Hashes]] = []
        try:
            for link in reversed(self._links(after, until)):
                for segment in reversed(_hashes(link)):
                    held = sum(len(hashes) for _, hashes in segments) + len(segment[1])
                    if segments and held > max_ids:
                        return segments[::-1]
                    segments.append(segment)
        except FileNotFoundError:  # merged meanwhile
            return self.recent_hashes(since_ms, max_ids, until)
        return segments[::-1]

    def compact(self) -> int:
        """Merge small files into bigger ones; readers beside it notice nothing.

        Returns:
            How many files went.
        """
        return compact(self._events, self._step)

    def write_draw(self, window: str, samples: Sequence[Sample]) -> str:
        """Keep the replay draw of a window before the window is committed.

        Args:
            window: a name for the window, such as its start.

        Returns:
            sha256 (hex) of the file, to be recorded with the window.
        """
        from service.storage.samples import pack_many

        return self._draws.write(window, pack_many(samples))

    def read_draw(self, window: str, digest: str) -> list[Sample]:
        """The samples drawn for a window.

        Raises:
            LostDraw: the file is gone or not what the digest says.
        """
        from service.storage.samples import unpack_many

        return unpack_many(self._draws.read(window, digest))

    def keep_draws(self, kept: Collection[tuple[str, str]]) -> None:
        """Drop all draws but these (name, digest)."""
        self._draws.keep(kept)

    def write_lessons(self, window: str, told: Sequence[Told]) -> str:
        """Keep what the mixer is to learn with a window, as `write_draw` keeps the draw."""
        return self._lessons.write(window, pack_lessons(told))

    def read_lessons(self, window: str, digest: str) -> list[Told]:
        """The lessons of a window, in the order of the log.

        Raises:
            LostDraw: as for `read_draw`.
        """
        return unpack_lessons(self._lessons.read(window, digest))

    def keep_lessons(self, kept: Collection[tuple[str, str]]) -> None:
        """Drop the lessons of all windows but these (name, digest)."""
        self._lessons.keep(kept)

    def _each(
        self, after: Position, until: Position | None, read: Callable[[Link], Iterable[T]]
    ) -> Iterator[tuple[Link, T]]:
        """What `read` finds in each part; when a file was merged meanwhile, in the merged one."""
        reached = after
        while True:
            try:
                for link in self._links(reached, until):
                    for found in read(link):
                        yield link, found
                    reached = link.end
                return
            except FileNotFoundError:
                continue

    def _links(self, after: Position, until: Position | None) -> list[Link]:
        """The parts after `after` up to and with `until`, in the order of the log."""
        return [
            Link(
                link.path,
                max(link.start, after),
                link.end if until is None else min(link.end, until),
            )
            for link in chain(files(self._events))
            if link.end > after and (until is None or link.start < until)
        ]


def rows_of(entries: Iterable[LogEntry], repeats: Sequence[bool]) -> list[ArchivedEvent]:
    """Entries as the archive holds them.

    Raises:
        Conflict: flags and events differ in number.
    """
    pairs = [(entry.position, event) for entry in entries for event in entry.interactions]
    if len(pairs) != len(repeats):
        raise Conflict(f"{len(pairs)} events came with {len(repeats)} repeat flags")
    return [
        ArchivedEvent(position, event, bool(repeat))
        for (position, event), repeat in zip(pairs, repeats, strict=True)
    ]


def _all_of(link: Link, user_id: str) -> list[ArchivedEvent]:
    parts = parquet.tables(link, user_id=user_id)
    return [event for part in parts for event in parquet.events_of(part)]


def _hashes(link: Link) -> list[tuple[int, Hashes]]:
    """(log time of the last row, hashes of the first arrivals) of each stretch of a part."""
    columns = ("position_ms", "position_seq", "repeat", "repeat_hash")
    found = []
    for part in parquet.regrouped(parquet.tables(link, columns), parquet.GROUP_ROWS):
        first = part.filter(pc.invert(part["repeat"]))["repeat_hash"]
        last = part["position_ms"][-1].as_py()
        found.append((last, np.asarray(first.to_numpy(), dtype=np.uint64)))
    return found
