"""`freshet log`: the event log, when it is not the one that the registry knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.runtime import read_settings

app = typer.Typer(help="Look after the event log.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `rebase` a subcommand although it is the only one."""


@app.command()
def rebase(
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="where everything is kept [FRESHET_DATA_DIR]")
    ] = None,
) -> None:
    """Accept the present event log after it was wiped, replaced or restored from a copy.

    Learning halts when the log is not the one that the models were made from, for positions in it
    would mean nothing. This takes the present log for ours: the models stay, what the log holds
    behind the learned position is learned, and new events get ids above it. A log that was another
    registry's is taken from it, and that one's learning halts.
    """
    from service.cli.stores import open_database, open_redis
    from service.learner.rebase import rebase as rebase_log
    from service.storage.event_log import EventLog
    from service.storage.keys import Keys
    from service.storage.registry import Registry

    settings = read_settings(data_dir=data_dir)
    keys = Keys(settings.namespace)
    with open_database(settings) as engine, open_redis(settings) as client:
        registry, log = Registry(engine), EventLog(client, keys)
        position, last = registry.head().position, log.last()
        typer.echo(f"learned up to {position}; the present log ends at {last}")
        owner = log.owner()
        if owner not in (None, registry.mark()):
            typer.echo(f"it is another registry's (mark {owner}), whose learning would halt")
        if not yes:
            typer.confirm("Take the present log for ours?", abort=True)
        done = rebase_log(registry, log, client, keys)
    typer.echo(
        f"done: incarnation {done.after} (before: {done.before}), {done.to_learn} events to learn"
    )
