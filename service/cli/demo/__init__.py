"""`freshet demo`: what a newcomer should see in the first five minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.runtime import read_settings


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
    port: Annotated[int | None, typer.Option(help="port, 0: any [FRESHET_PORT]")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="this source's directory [FRESHET_DATA_DIR/demo/…]")
    ] = None,
) -> None:
    """Run everything here, stream interactions in, and show live what is learned.

    Each source has a directory of its own, `demo/…` in the data directory: a second run of the same
    source goes on where the first stopped, and another source starts fresh. The stores are the
    demo's own, too: FRESHET_REDIS_URL and FRESHET_DATABASE_URL, which may name a real service's,
    are left alone.
    """
    from service.cli.demo.run import Demo, read_pace
    from service.cli.demo.server import own_settings
    from service.cli.demo.source import FileSource
    from service.cli.demo.synthetic import SyntheticSource

    pace, settings = read_pace(rate), read_settings(host=host, port=port)
    source = SyntheticSource() if events is None else FileSource(events)
    directory = data_dir or settings.data_dir / "demo" / source.digest
    own = own_settings(settings, directory)
    Demo(own, source, pace=pace, seconds=seconds, leave=leave).run()
