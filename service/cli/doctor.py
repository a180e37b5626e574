"""`freshet doctor`: what is wrong with this set-up, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.checks import CHECKS, Finding
from service.cli.runtime import read_settings
from service.errors import SettingsError


def doctor(
    host: Annotated[str | None, typer.Option(help="address [FRESHET_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="port [FRESHET_PORT]")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="[FRESHET_DATA_DIR]")] = None,
) -> None:
    """Say what is wrong with this set-up and what to do about it; 1 when something is.

    What is odd and does no harm is said as a warning.
    """
    try:
        settings = read_settings(host=host, port=port, data_dir=data_dir)
    except SettingsError as error:
        for sentence in str(error).splitlines():
            _say(Finding(f"settings: {sentence}", "correct it in the environment or in .env"))
        raise typer.Exit(1) from None
    wrong = 0
    for check in CHECKS:
        for finding in check(settings):
            _say(finding)
            wrong += finding.is_wrong
    typer.echo(f"\n{wrong} to be put right" if wrong else "\nall is well")
    raise typer.Exit(1 if wrong else 0)


def _say(finding: Finding) -> None:
    if not finding.remedy:
        typer.echo(f"ok     {finding.what}")
    else:
        level = "wrong" if finding.is_wrong else "warn"
        typer.echo(f"{level:5}  {finding.what}\n       → {finding.remedy}")
