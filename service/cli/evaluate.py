"""`freshet evaluate`: a recorded stream, period by period, every arm in the same run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.runtime import read_settings
from service.domain.weights import EventWeights
from service.errors import BadRequest
from service.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from models.evaluation.protocol import Evaluation
    from models.evaluation.stream import Columns, Stream

FILE_WIDTH = 160
"""Columns of the tables where stdout is no terminal."""


def evaluate(
    events: Annotated[
        Path | None, typer.Option(help="recorded interactions: CSV, CSV.gz, JSON Lines, Parquet")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="item records; counted, no arm reads their text yet")
    ] = None,
    arms: Annotated[
        str | None, typer.Option(help="comma-separated; `all`: every one; see --list-arms")
    ] = None,
    periods: Annotated[
        int | None,
        typer.Option(min=1, help="periods after the base [8, or those the file has]"),
    ] = None,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="ask the first so many periods only")
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="events in one update [a whole period]")
    ] = None,
    baskets: Annotated[
        str, typer.Option(help="events of a user at one time: a `set`, or `lines` in file order")
    ] = "set",
    protocol: Annotated[
        str, typer.Option(help="`strict`: an unseen item is a miss; `ader`: it is left out")
    ] = "strict",
    share: Annotated[
        float, typer.Option(min=0.0001, max=1.0, help="share of the users that are asked")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="of everything random")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="for torch")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write all figures to this file")
    ] = None,
    list_arms: Annotated[
        bool, typer.Option("--list-arms", help="say which arms there are")
    ] = False,
) -> None:
    """Measure on a recorded stream how well learning pays, beside simpler methods.

    For every period the model of the period before is frozen and asked for each event, the user's
    history being live; then it learns the period. Hyperparameters are the service's settings.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported
    from models.evaluation.arms import DEFAULT, KINDS, named
    from models.evaluation.report import READINGS

    if list_arms:
        for kind in KINDS:
            typer.echo(f"{kind.name:18} {kind.summary}")
        return
    if events is None:
        raise typer.BadParameter("must name a file", param_hint="--events")
    settings = read_settings()
    try:
        if protocol not in READINGS:
            raise ValueError(f"--protocol: must be one of {', '.join(READINGS)}")
        names = [kind.name for kind in KINDS] if arms == "all" else _listed(arms)
        kinds = named(DEFAULT if arms is None else names)
        item_ids = None if items is None else read_item_ids(items)
        stream = _stream(read_columns(events, settings), periods, baskets)
    except ValueError as error:
        raise BadRequest(f"evaluate: {error}") from None
    document = {
        "data": _data(events, stream, item_ids),
        "protocol": protocol,
        "run": {
            "seed": seed,
            "window": window,
            "baskets": baskets,
            "share": share,
            "threads": threads,
            "arms": [kind.name for kind in kinds],
        },
    }
    document |= _measure(document, stream, settings, stop_after=stop_after)
    _show(document)
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if not document["arms"]:
        raise typer.Exit(1)


def read_columns(path: Path, settings: Settings) -> Columns:
    """The file's events with the weights that the service would give them.

    Raises:
        BadStream: the file cannot be read, or names an event type the settings do not know.
    """
    from models.evaluation.stream import Columns
    from service.streams import BadStream, read_stream

    weights = EventWeights(settings.event_types, settings.positive_from)
    columns = Columns([], [], [], [], [], [])
    for row in read_stream(path):
        if row.type not in settings.event_types:
            known = ", ".join(settings.event_types)
            raise BadStream(f"{path}, line {row.line}: type {row.type!r} is not one of {known}")
        columns.append(
            row.user_id,
            row.item_id,
            time_ms=row.time_ms,
            type=row.type,
            weight=weights.weight(row.type, row.value),
            period=row.period,
        )
    return columns


def read_item_ids(path: Path) -> set[str]:
    """The ids of an item file.

    Raises:
        BadStream: the file cannot be read.
    """
    from service.streams import read_records

    return {str(record["item_id"]) for _, record in read_records(path, ("item_id",))}


def _listed(arms: str | None) -> list[str]:
    return [name.strip() for name in (arms or "").split(",") if name.strip()]


def _stream(columns: Columns, periods: int | None, baskets: str) -> Stream:
    from models.evaluation.stream import Stream

    return Stream(columns, num_periods=periods, baskets=baskets)


def _measure(
    document: dict[str, Any], stream: Stream, settings: Settings, *, stop_after: int | None
) -> dict[str, Any]:
    """Run the arms under a progress bar on stderr; the figures as JSON values."""
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
    with Progress(
        *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as bars:
        tasks = {name: bars.add_task(name, total=1.0, doing="") for name in asked["arms"]}

        def progress(arm: str, doing: str, done: float) -> None:
            bars.update(tasks[arm], completed=done, doing=doing)

        evaluation: Evaluation = run(
            stream,
            named(asked["arms"]),
            ArmSetup(config=settings.learning, seed=asked["seed"], window=asked["window"]),
            clock=time.perf_counter,
            stop_after=stop_after,
            share=asked["share"],
            progress=progress,
        )
    return {**report(evaluation, document["protocol"]), "wall_s": time.perf_counter() - started}


def _data(events: Path, stream: Stream, item_ids: set[str] | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "file": events.name,
        "events": stream.num_read,
        "positive": len(stream.item),
        "users": len(stream.users),
        "items": len(stream.items),
        "base": int(stream.bounds[1]),
    }
    if item_ids is not None:
        data["items_described"] = sum(item in item_ids for item in stream.items.ids)
    return data


def _show(document: dict[str, Any]) -> None:
    """The tables, on stdout."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    data = document["data"]
    console.print(
        f"{data['file']}: {data['positive']:,} positive events of {data['users']:,} users, "
        f"{data['items']:,} items",
        highlight=False,
    )
    console.print(_figures(document))
    console.print(_curve(document))
    sys.stdout.flush()
    for name, error in document["failed"].items():
        typer.echo(f"{name} failed: {error}", err=True)
    typer.echo(f"seed {document['run']['seed']}, {document['wall_s']:.0f} s in all")


def _figures(document: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title=f"{document['protocol']}, mean of {len(document['periods'])} periods")
    table.add_column("arm", no_wrap=True)
    for heading in ("R@10", "R@20", "MRR@20", "NDCG@20", "fit s", "update s", "answer s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, arm in document["arms"].items():
        quality = [_short(arm[key]) for key in ("recall@10", "recall@20", "mrr@20", "ndcg@20")]
        seconds = [f"{arm[key]:.1f}" for key in ("fit_s", "update_s", "answer_s")]
        table.add_row(name, *quality, *seconds)
    return table


def _curve(document: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title="Recall@20 per period")
    table.add_column("period", justify="right", no_wrap=True)
    for name in document["arms"]:
        table.add_column(name, justify="right")
    for place, period in enumerate(document["periods"]):
        recall = [arm["per_period"]["recall@20"][place] for arm in document["arms"].values()]
        table.add_row(str(period["period"]), *map(_short, recall))
    return table


def _short(figure: float) -> str:
    return f"{figure:.4f}".removeprefix("0")
