"""`freshet evaluate`: a recorded stream, period by period, every arm in the same run."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.runtime import read_settings
from service.errors import BadRequest
from service.settings import Settings

if TYPE_CHECKING:
    from models.evaluation.arm import ArmSetup
    from models.evaluation.protocol import RunStore
    from models.evaluation.stream import Columns, Stream


EventsOption = Annotated[
    Path | None, typer.Option(help="recorded interactions: CSV, CSV.gz, JSON Lines, Parquet")
]
ItemsOption = Annotated[
    Path | None, typer.Option(help="item records; counted, no arm reads their text yet")
]
ArmsOption = Annotated[
    str | None, typer.Option(help="comma-separated; `all`: every one; see --list-arms")
]
PeriodsOption = Annotated[
    int | None,
    typer.Option(min=1, help="periods after the base [8, or those the file has]"),
]
StopAfterOption = Annotated[
    int | None, typer.Option(min=1, help="ask the first so many periods only")
]
WindowOption = Annotated[
    int | None, typer.Option(min=1, help="events in one update [a whole period]")
]
BasketsOption = Annotated[
    str, typer.Option(help="events of a user at one time: a `set`, or `lines` in file order")
]
ProtocolOption = Annotated[
    str, typer.Option(help="`strict`: an unseen item is a miss; `ader`: it is left out")
]
ShareOption = Annotated[
    float, typer.Option(min=0.0001, max=1.0, help="share of the users that are asked")
]
ProbesOption = Annotated[
    float,
    typer.Option(
        min=0.0, max=0.5, help="share of the users never learned from, to see forgetting by"
    ),
]
NoiseOption = Annotated[
    str | None,
    typer.Option(
        metavar="KIND:SHARE",
        help="spoil so much of what is learned, not of what is asked: `labels` (other items),"
        " `duplicates` or `bots`, such as labels:0.1",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="of everything random; the first of them")]
SeedsOption = Annotated[int, typer.Option(min=1, help="run so many seeds; figures are means")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="for torch")]
JsonFileOption = Annotated[
    Path | None, typer.Option("--json", help="write all figures to this file")
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(help="keep finished runs in this folder, and skip those that are there"),
]
PlotsOption = Annotated[
    Path | None, typer.Option(help="draw curves, matrices and costs into this folder as SVG")
]
SlicesOption = Annotated[
    bool, typer.Option("--slices", help="show figures by how often item and user were seen, too")
]
ListArmsOption = Annotated[bool, typer.Option("--list-arms", help="say which arms there are")]


def evaluate(
    events: EventsOption = None,
    items: ItemsOption = None,
    arms: ArmsOption = None,
    periods: PeriodsOption = None,
    stop_after: StopAfterOption = None,
    window: WindowOption = None,
    baskets: BasketsOption = "set",
    protocol: ProtocolOption = "strict",
    share: ShareOption = 1.0,
    probes: ProbesOption = 0.1,
    noise: NoiseOption = None,
    seed: SeedOption = 0,
    seeds: SeedsOption = 1,
    threads: ThreadsOption = 1,
    json_file: JsonFileOption = None,
    resume: ResumeOption = None,
    plots: PlotsOption = None,
    slices: SlicesOption = False,
    list_arms: ListArmsOption = False,
) -> None:
    """Measure on a recorded stream how well learning pays, beside simpler methods.

    For every period the model of the period before is frozen and asked for each event, the user's
    history being live; then it learns the period. Hyperparameters are the service's settings.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported
    from models.evaluation.arms import DEFAULT, KINDS, named
    from models.evaluation.noise import Noise
    from models.evaluation.report import READINGS

    if list_arms:
        for kind in KINDS:
            typer.echo(f"{kind.name:18} {kind.summary}")
        return
    if events is None:
        raise typer.BadParameter("must name a file", param_hint="--events")
    if plots is not None:
        _require_plots()
    settings = read_settings()
    from service.cli.recordings import read_columns, read_item_ids

    try:
        if protocol not in READINGS:
            raise ValueError(f"--protocol: must be one of {', '.join(READINGS)}")
        names = [kind.name for kind in KINDS] if arms == "all" else _listed(arms)
        spoilt = None if noise is None else str(Noise.parse(noise))
        kinds = named(DEFAULT if arms is None else names)
        item_ids = None if items is None else read_item_ids(items)
        stream = _stream(read_columns(events, settings), periods, baskets, probes)
    except ValueError as error:
        raise BadRequest(f"evaluate: {error}") from None
    document = {
        "data": _data(events, stream, item_ids),
        "protocol": protocol,
        "run": {
            "seed": seed,
            "seeds": seeds,
            "window": window,
            "baskets": baskets,
            "share": share,
            "probes": probes,
            "noise": spoilt,
            "stop_after": stop_after,
            "threads": threads,
            "arms": [kind.name for kind in kinds],
        },
    }
    document |= _measure(document, stream, settings, resume)
    _deliver(document, json_file, plots, slices)
    if not document["arms"]:
        raise typer.Exit(1)


def _require_plots() -> None:
    """Say before hours of work, not after, that nothing can be drawn here."""
    if find_spec("matplotlib") is None:
        raise BadRequest("evaluate: --plots needs matplotlib: pip install 'freshet[plots]'")


def _deliver(
    document: dict[str, Any], json_file: Path | None, plots: Path | None, slices: bool
) -> None:
    """Tables, the file and the drawings."""
    from service.cli.figures import show

    show(document, slices=slices)
    if json_file is not None:
        json_file.write_text(
            json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
    if plots is not None:
        from service.cli.plots import draw

        for path in draw(document, plots):
            typer.echo(f"drawn: {path}", err=True)


def _listed(arms: str | None) -> list[str]:
    return [name.strip() for name in (arms or "").split(",") if name.strip()]


def _stream(columns: Columns, periods: int | None, baskets: str, probes: float) -> Stream:
    from models.evaluation.stream import Stream

    return Stream(columns, num_periods=periods, baskets=baskets, probe_share=probes)


def _measure(
    document: dict[str, Any], stream: Stream, settings: Settings, resume: Path | None
) -> dict[str, Any]:
    """Run the arms, seed by seed, under a progress bar on stderr; the figures as JSON values."""
    import time

    import torch
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from models.evaluation.arm import ArmSetup
    from models.evaluation.arms import named
    from models.evaluation.protocol import evaluate as run
    from models.evaluation.report import report

    asked = document["run"]
    torch.set_num_threads(asked["threads"])
    started = time.perf_counter()
    columns = (TextColumn("{task.description:18}"), BarColumn(), TextColumn("{task.fields[doing]}"))
    evaluations = []
    with Progress(
        *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as bars:
        tasks = {
            name: bars.add_task(name, total=asked["seeds"], doing="") for name in asked["arms"]
        }
        for number in range(asked["seeds"]):
            setup = ArmSetup(
                config=settings.learning, seed=asked["seed"] + number, window=asked["window"]
            )

            def progress(arm: str, doing: str, done: float, number: int = number) -> None:
                bars.update(tasks[arm], completed=number + done, doing=doing)

            evaluations.append(
                run(
                    stream,
                    named(asked["arms"]),
                    setup,
                    clock=time.perf_counter,
                    stop_after=asked["stop_after"],
                    share=asked["share"],
                    share_seed=asked["seed"],
                    store=_store(resume, asked, stream, setup),
                    learned=_learned(stream, asked["noise"], setup.seed),
                    progress=progress,
                )
            )
    figures = report(evaluations, document["protocol"])
    return figures | {"wall_s": time.perf_counter() - started}


def _learned(stream: Stream, noise: str | None, seed: int) -> Stream:
    """What the arms learn from: the stream itself, or one spoilt by this seed."""
    if noise is None:
        return stream
    from models.evaluation.noise import Noise, noisy

    return noisy(stream, Noise.parse(noise), seed)


def _store(
    folder: Path | None, asked: dict[str, Any], stream: Stream, setup: ArmSetup
) -> RunStore | None:
    """Where finished runs of just these circumstances are kept."""
    if folder is None:
        return None
    from service.cli.runs import RunFiles, circumstances

    return RunFiles(folder, circumstances(stream, setup, asked))


def _data(events: Path, stream: Stream, item_ids: set[str] | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "file": events.name,
        "events": stream.num_read,
        "positive": len(stream.item),
        "users": len(stream.users),
        "items": len(stream.items),
        "base": int(stream.bounds[1]),
        "probe_users": int(stream.probe.sum()),
    }
    if item_ids is not None:
        data["items_described"] = sum(item in item_ids for item in stream.items.ids)
    return data
