"""The commands of `freshet` and what each one starts."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from service.cli import demo, doctor, evaluate, keys, log, models, moving
from service.cli.runtime import EXIT_SETUP, prepare_process, read_settings
from service.errors import FreshetError, SettingsError
from service.settings import Settings

app = typer.Typer(
    name="freshet",
    help="A recommender that learns while it serves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(log.app, name="log")
app.add_typer(moving.importing, name="import")
app.add_typer(moving.exporting, name="export")
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("evaluate")(evaluate.evaluate)

Host = Annotated[str | None, typer.Option(help="address to listen on [FRESHET_HOST]")]
Port = Annotated[int | None, typer.Option(help="port to listen on, 0: any [FRESHET_PORT]")]
DataDir = Annotated[Path | None, typer.Option(help="where everything is kept [FRESHET_DATA_DIR]")]


def main() -> None:
    """Run the command line; errors meant for people become a sentence and an exit status."""
    prepare_process()
    try:
        app()
    except SettingsError as error:
        _end(error, EXIT_SETUP)
    except FreshetError as error:
        _end(error, 1)


def _end(error: FreshetError, status: int) -> None:
    typer.echo(f"freshet: {error}", err=True)
    sys.exit(status)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="say the version")] = False,
) -> None:
    if show_version:
        typer.echo(version("freshet"))
        raise typer.Exit
    del context


@app.command()
def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run everything on this machine: log, api, learner and memory, restarted when they die."""
    from service.cli.supervisor import Supervisor

    settings = read_settings(host=host, port=port, data_dir=data_dir)
    raise typer.Exit(Supervisor(settings, _say).run())


@app.command()
def api(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run one api replica alone."""
    from service.api.server import run

    run(_connected(read_settings(host=host, port=port, data_dir=data_dir)))


@app.command()
def learner(data_dir: DataDir = None) -> None:
    """Run the learner alone."""
    from service import logs
    from service.learner.process import run

    settings = _connected(read_settings(data_dir=data_dir))
    logs.configure(settings)
    run(settings)


@app.command()
def memory(data_dir: DataDir = None) -> None:
    """Run the process of the fast memory alone."""
    from service import logs
    from service.memory.process import run

    settings = _connected(read_settings(data_dir=data_dir))
    logs.configure(settings)
    run(settings)


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the registry's database to this release's tables; safe to repeat."""
    from service.storage.database import database_url, migrate

    settings = read_settings(data_dir=data_dir)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate(database_url(settings))


def _connected(settings: Settings) -> Settings:
    """The settings with the address of the event log's server, which a part alone must be told."""
    from service.cli.stores import redis_url

    return settings.model_copy(update={"redis_url": redis_url(settings)})


def _say(line: str) -> None:
    typer.echo(line, err=True)
