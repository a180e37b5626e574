"""Small archive files become bigger ones.

A window makes a file, some thousands of them a day. Wherever enough small ones stand in a row they
are merged, in two sizes, so that each event is written about three times in all and the archive
has some hundred small files and one file per million events. The merged file is there before its
parts are deleted; until then they overlap, which the chain makes harmless. A merge that a crash
interrupts is done again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from service.storage.chain import Link, chain, file_name, files
from service.storage.files import Step, fsync_directory, new_file
from service.storage.parquet import GROUP_ROWS, SCHEMA, regrouped, row_count, tables

SIZES: Final = ((16_384, 64), (1_048_576, 128))
"""(rows below which a file is small, how many small ones in a row are merged)."""
_LEFT_OVER_S = 86_400.0


def compact(directory: Path, step: Step) -> int:
    """Merge what is to be merged, and delete what is not read any more.

    Returns:
        How many files were deleted.
    """
    for small, fan in SIZES:
        for run in _runs(chain(files(directory)), small, fan):
            _merge(directory, run, step)
    return _sweep(directory)


def _runs(links: Sequence[Link], small: int, fan: int) -> Iterator[list[Link]]:
    """Neighbours that are small, `fan` of them or more, cut where they reach `small` rows."""
    if len(links) < fan:
        return
    run: list[Link] = []
    counts: list[int] = []
    for link in [*links, None]:
        rows = small if link is None else row_count(link)
        if link is not None and rows < small:
            run.append(link)
            counts.append(rows)
            continue
        if len(run) >= fan:
            yield from _pieces(run, counts, small)
        run, counts = [], []


def _pieces(run: Sequence[Link], counts: Sequence[int], small: int) -> Iterator[list[Link]]:
    piece: list[Link] = []
    held = 0
    for link, rows in zip(run, counts, strict=True):
        piece.append(link)
        held += rows
        if held >= small:
            yield piece
            piece, held = [], 0
    if len(piece) > 1:
        yield piece


def _merge(directory: Path, run: Sequence[Link], step: Step) -> None:
    """One file of the links' parts, in row groups that a reader can pass over."""
    path = directory / file_name(run[0].start, run[-1].end)
    with (
        new_file(path, step) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer,
    ):
        for group in regrouped((part for link in run for part in tables(link)), GROUP_ROWS):
            writer.write_table(group, row_group_size=2 * GROUP_ROWS)


def _sweep(directory: Path) -> int:
    """Delete the files that the chain passes over, and what writers that were killed left."""
    found = files(directory)
    read = {link.path for link in chain(found)}
    unread = [link.path for link in found if link.path not in read]
    before_s = time.time() - _LEFT_OVER_S
    unread += [path for path in directory.glob(".tmp-*") if path.stat().st_mtime < before_s]
    for path in unread:
        path.unlink(missing_ok=True)
    if unread:
        fsync_directory(directory)
    return len(unread)
