"""`freshet import` and `freshet export`: events and items in from files, and out to files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from service.cli.runtime import EXIT_INTERRUPTED, read_settings
from service.errors import BadRequest

importing = typer.Typer(help="Take a file of events or items in.", no_args_is_help=True)
exporting = typer.Typer(help="Write events, items or users to a file.", no_args_is_help=True)


class OnError(StrEnum):
    """What is done about a line that is no event or item."""

    STOP = "stop"
    SKIP = "skip"


Source = Annotated[Path, typer.Argument(help=".csv or .jsonl, either may be .gz, or .parquet")]
Target = Annotated[Path, typer.Argument(help=".csv or .jsonl, either may be .gz, or .parquet")]
OnErrorOption = Annotated[
    OnError,
    typer.Option(help="at a bad line take nothing in, or say why and take in the others"),
]
AgainOption = Annotated[bool, typer.Option("--again", help="also what is in already")]
ForceOption = Annotated[bool, typer.Option("--force", help="replace a file that is there")]
DataDir = Annotated[Path | None, typer.Option(help="where everything is kept [FRESHET_DATA_DIR]")]


@importing.command("events")
def import_events(
    file: Source,
    on_error: OnErrorOption = OnError.STOP,
    again: AgainOption = False,
    data_dir: DataDir = None,
) -> None:
    """Append a file's events to the event log, in the order of the file, however old they are.

    Columns: user_id, item_id, timestamp (RFC 3339 or Unix seconds), and perhaps type, value,
    event_id and recommendation_id. An event without an id gets that of its line in this very file.
    The whole file is looked at before anything is sent. Interrupted or killed, the same command
    goes on where it was; a file that is in is refused.
    """
    from service.cli.moving.events_in import import_file

    with _resumable():
        done = import_file(file, read_settings(data_dir=data_dir), on_error is OnError.SKIP, again)
    before = f", {done.before} of them by an earlier run" if done.before else ""
    typer.echo(f"{done.events} events are in the log{before}{_skipped(done.skipped)}")


@importing.command("items")
def import_items(
    file: Source, on_error: OnErrorOption = OnError.STOP, data_dir: DataDir = None
) -> None:
    """Write a file's items to the catalogue: those that are there are replaced.

    Columns: item_id, and perhaps title, description, categories, tags, available, published_at and
    attributes. In a cell of text, categories and tags are separated by `|` (or are a JSON list),
    attributes are a JSON object. The whole file is looked at before anything is written; written
    twice it is the same.
    """
    from service.cli.moving.items_in import import_file

    with _resumable():
        done = import_file(file, read_settings(data_dir=data_dir), on_error is OnError.SKIP)
    typer.echo(f"{done.items} items written, {done.made} of them new{_skipped(done.skipped)}")


@importing.command("users")
def import_users(file: Source) -> NoReturn:
    """Refused: a user is what the events say."""
    raise BadRequest(
        f"{file}: nothing is kept of a user but events, so there is nothing to import; users come"
        " with `freshet import events`"
    )


@exporting.command("events")
def export_events(file: Target, force: ForceOption = False, data_dir: DataDir = None) -> None:
    """Write every event, once, in the order of the log; what arrives meanwhile is left out."""
    from service.cli.moving.files_out import write_events

    typer.echo(f"{write_events(file, read_settings(data_dir=data_dir), force)} events written")


@exporting.command("items")
def export_items(file: Target, force: ForceOption = False, data_dir: DataDir = None) -> None:
    """Write the catalogue by item id; deleted items are not in it."""
    from service.cli.moving.files_out import write_items

    typer.echo(f"{write_items(file, read_settings(data_dir=data_dir), force)} items written")


@exporting.command("users")
def export_users(file: Target, force: ForceOption = False, data_dir: DataDir = None) -> None:
    """Write who has events, how many, and when the first and the last one happened."""
    from service.cli.moving.files_out import write_users

    typer.echo(f"{write_users(file, read_settings(data_dir=data_dir), force)} users written")


@contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted: the same command goes on with it", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _skipped(lines: int) -> str:
    return f"; {lines} line{'s' if lines > 1 else ''} skipped" if lines else ""
