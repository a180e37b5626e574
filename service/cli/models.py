"""`freshet models`: versions, rollback and pin, as the admin endpoints have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.runtime import read_settings

if TYPE_CHECKING:
    from service.domain.versions import VersionRecord
    from service.storage.registry import Registry

app = typer.Typer(help="List, activate and pin model versions.", no_args_is_help=True)

DataDir = Annotated[Path | None, typer.Option(help="where everything is kept [FRESHET_DATA_DIR]")]


@app.command("list")
def list_models(
    limit: Annotated[int, typer.Option(min=1, help="so many, the latest first")] = 20,
    data_dir: DataDir = None,
) -> None:
    """List the latest versions, which can be gone back to, and what the gate said."""
    with _registry(data_dir) as registry:
        head, versions = registry.head(), registry.versions(limit)
    for version in versions:
        typer.echo(_line(version))
    if head.pinned:
        typer.echo(f"pinned: {head.active} stays active until `freshet models unpin`")


@app.command()
def activate(
    version: Annotated[int, typer.Argument(help="its number")],
    pin: Annotated[bool, typer.Option(help="let no later version take over")] = False,
    relearn: Annotated[
        bool, typer.Option(help="learn the events since that version again")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Serve this version; learning goes on from it."""
    with _registry(data_dir) as registry:
        head = registry.activate(version, pin=pin, relearn=relearn)
    typer.echo(f"active: {head.active}{' (pinned)' if head.pinned else ''}")


@app.command()
def pin(data_dir: DataDir = None) -> None:
    """Keep the version that is active now; later ones wait as candidates."""
    with _registry(data_dir) as registry:
        head = registry.pin()
    typer.echo(f"pinned: {head.active}")


@app.command()
def unpin(data_dir: DataDir = None) -> None:
    """Let the next published version take over again."""
    with _registry(data_dir) as registry:
        registry.unpin()
    typer.echo("unpinned")


def _line(version: VersionRecord) -> str:
    created = datetime.fromtimestamp(version.created_ms / 1000, UTC)
    verdict = version.gate.get("verdict", "")
    reason = version.gate.get("reason", "")
    parts = (
        f"{version.version:>6}",
        f"{version.status.value:<9}",
        f"{version.origin.value:<11}",
        f"{'restorable' if version.restorable else '':<10}",
        f"{created:%Y-%m-%d %H:%M:%S}Z",
        f"{version.digest[:12]:<12}",
        f"{verdict} {reason}".strip(),
    )
    return "  ".join(parts).rstrip()


@contextmanager
def _registry(data_dir: Path | None) -> Iterator[Registry]:
    from service.cli.stores import open_database
    from service.storage.registry import Registry

    with open_database(read_settings(data_dir=data_dir)) as engine:
        yield Registry(engine)
