"""A file is looked at from end to end before any of it is taken in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.streams import BadStream

T = TypeVar("T")
_SHOWN_EVERY = 1_000


def look(
    path: Path, rows: Iterable[tuple[int, T | ValueError]], skip: bool, see: Callable[[T], None]
) -> tuple[int, int]:
    """Go through a file's rows.

    Args:
        rows: (line, what it is, or why it is nothing).
        skip: say what is wrong with a bad line, and pass over it.
        see: told of each good row.

    Returns:
        (good rows, bad rows).

    Raises:
        BadStream: a line is bad and not to be skipped, or no row is good.
    """
    good = bad = 0
    with bar("looking", None) as show:
        for line, row in rows:
            if not isinstance(row, ValueError):
                good += 1
                see(row)
            elif skip:
                bad += 1
                typer.echo(f"line {line} skipped: {row}", err=True)
            else:
                raise BadStream(f"{path}, line {line}: {row}; nothing was taken in")
            show(good + bad)
    if not good:
        raise BadStream(f"{path}: there is nothing in it to take in")
    return good, bad


def sentence(error: ValidationError) -> str:
    """What is wrong with a row, by field."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)


@contextmanager
def bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal; the function is told how much is done."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task(what, total=total)

        def show(done: int) -> None:
            if done % _SHOWN_EVERY == 0:
                bars.update(task, completed=done)

        yield show


class Patience:
    """Says why it has to be waited for a store: once, until another reason comes."""

    def __init__(self) -> None:
        self._said = ""

    def say(self, error: Exception) -> None:
        """Tell why, if it is news."""
        if str(error) != self._said:
            self._said = str(error)
            typer.echo(f"waiting: {error}", err=True)
