"""`freshet keys`: who may call the api."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from service.cli.runtime import read_settings
from service.errors import SettingsError

if TYPE_CHECKING:
    from service.storage.api_keys import ApiKeys

SCOPES: Final = ("recommend", "catalog", "admin")

app = typer.Typer(help="Make, list and revoke api keys.", no_args_is_help=True)

DataDir = Annotated[Path | None, typer.Option(help="where everything is kept [FRESHET_DATA_DIR]")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="who will use it")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="recommend, catalog or admin; may be repeated; without it: all"),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it: the only time it can be seen, for a digest alone is stored."""
    scopes = tuple(scope) if scope else SCOPES
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise SettingsError(f"no such scope: {', '.join(unknown)}; there are {', '.join(SCOPES)}")
    with _keys(data_dir) as keys:
        typer.echo(keys.create(name, scopes))


@app.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """List the keys by name; the keys themselves cannot be shown."""
    with _keys(data_dir) as keys:
        found, made = keys.list(), keys.known().made
    if not found and made:
        typer.echo("no valid keys: all are revoked, and nobody is let in", err=True)
    elif not found:
        typer.echo("no keys: auth is off, and only a loopback address is served", err=True)
    for key in found:
        typer.echo(f"{key.name}\t{','.join(sorted(key.scopes))}")


@app.command()
def revoke(name: Annotated[str, typer.Argument()], data_dir: DataDir = None) -> None:
    """Take a key back; the replicas notice within seconds."""
    with _keys(data_dir) as keys:
        keys.revoke(name)


@contextmanager
def _keys(data_dir: Path | None) -> Iterator[ApiKeys]:
    from service.cli.stores import open_database
    from service.storage.api_keys import ApiKeys

    with open_database(read_settings(data_dir=data_dir)) as engine:
        yield ApiKeys(engine)
