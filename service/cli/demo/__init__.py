"""`freshet demo`: what a newcomer should see in the first five minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.runtime import read_settings

_DATA_DIR = Path(".freshet/demo")


def demo(
    events: Annotated[
        Path | None,
        typer.Option(help="a file of interactions; without it a synthetic stream is made up"),
    ] = None,
    rate: Annotated[
        str,
        typer.Option(help="events per second, or max, or auto: as fast as the learner follows"),
    ] = "auto",
    seconds: Annotated[
        float | None, typer.Option(help="end after streaming for so many seconds", min=0.0)
    ] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="end with the file, without serving on")
    ] = False,
    host: Annotated[str | None, typer.Option(help="address [FRESHET_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="port [FRESHET_PORT]")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="the demo's own data directory")] = None,
) -> None:
    """Run everything here, stream interactions in, and show live what is learned.

    A second run goes on where the first stopped; delete the data directory to begin anew.
    """
    from service.cli.demo.run import Demo, read_pace
    from service.cli.demo.source import FileSource
    from service.cli.demo.synthetic import SyntheticSource

    settings = read_settings(host=host, port=port, data_dir=(data_dir or _DATA_DIR).absolute())
    source = SyntheticSource() if events is None else FileSource(events)
    Demo(settings, source, pace=read_pace(rate), seconds=seconds, leave=leave).run()
