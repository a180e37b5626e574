"""Files that are there whole or not at all, and still there after the power fails."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Step = Callable[[str], None]
"""Called before each step with its name; a test makes it raise, or kills the process there."""


def no_step(_: str) -> None:
    """The hook that does nothing."""


def write_file(path: Path, data: bytes, step: Step = no_step) -> None:
    """Put `data` at `path`: temporary file, fsync, rename, fsync of the directory."""
    with new_file(path, step) as temporary:
        temporary.write_bytes(data)


@contextmanager
def new_file(path: Path, step: Step = no_step) -> Iterator[Path]:
    """A temporary file for the block to write, which then takes its place at `path`."""
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        step("write")
        yield temporary
        _sync(temporary, os.O_RDONLY)
        step("rename")
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    step("fsync directory")
    fsync_directory(path.parent)


def write_through(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it (its name in the directory is another matter)."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def fsync_directory(path: Path) -> None:
    """Wait until the disk has the names in a directory."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
