"""`freshet evaluate`: a recorded stream, period by period, every arm in the same run."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.outputs import check_outputs, deliver
from service.cli.runtime import read_settings
from service.errors import BadRequest

if TYPE_CHECKING:
    from models.evaluation.arm import ArmKind
    from models.evaluation.stream import Stream


SHIPPED = "freshet"

EventsOption = Annotated[
    Path | None, typer.Option(help="recorded interactions: CSV, CSV.gz, JSON Lines, Parquet")
]
ItemsOption = Annotated[
    Path | None, typer.Option(help="item records, for the arms that read their text")
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
MicroWindowsOption = Annotated[
    str,
    typer.Option(
        metavar="N|every",
        help="stretches of a period, each asked before it is observed; `every`: each instant",
    ),
]
WeightsWindowsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="updates of the weights in a period; divides the stretches [after each]"
    ),
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
AgainstOption = Annotated[
    str | None,
    typer.Option(
        metavar="ARM",
        help="the arm that every other's difference is taken to [freshet, where it runs]",
    ),
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
    micro_windows: MicroWindowsOption = "1",
    weights_windows: WeightsWindowsOption = None,
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
    against: AgainstOption = None,
    slices: SlicesOption = False,
    list_arms: ListArmsOption = False,
) -> None:
    """Measure on a recorded stream how well learning pays, beside simpler methods.

    For every period the model of the period before is frozen and asked for each event, the user's
    history being live; then it learns the period. Hyperparameters are the service's settings. The
    exit status is 1 when an arm failed or something could not be written.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported
    from models.evaluation.periods import updates_of
    from models.evaluation.stream import Stream

    if list_arms:
        return _list_arms()
    if events is None:
        raise typer.BadParameter("must name a file", param_hint="--events")
    check_outputs(json_file, plots, resume)
    settings = read_settings()
    from service.cli.figures import show
    from service.cli.measuring import Measuring, device_for
    from service.cli.recordings import read_columns, read_contents

    device = device_for(settings)
    try:
        kinds = _kinds(arms, described=items is not None)
        _check(protocol, against, kinds)
        spoilt = None if noise is None else _spoilt(noise)
        contents = None if items is None else read_contents(items)
        stream = Stream(
            read_columns(events, settings),
            num_periods=periods,
            baskets=baskets,
            probe_share=probes,
            micro_windows=_stretches(micro_windows),
        )
        updates = updates_of(stream.micro_windows, weights_windows)
    except ValueError as error:
        raise BadRequest(f"evaluate: {error}") from None
    run = {
        "seed": seed, "seeds": seeds, "window": window, "micro_windows": stream.micro_windows,
        "weights_windows": updates, "baskets": baskets, "share": share, "probes": probes,
        "noise": spoilt, "stop_after": stop_after, "threads": threads, "device": device,
        "arms": [kind.name for kind in kinds], "against": against or SHIPPED,
    }  # fmt: skip
    document = {"data": _data(events, stream, contents), "protocol": protocol, "run": run}
    document |= Measuring(stream, settings, protocol, run, resume, contents or {}).figures()
    show(document, slices=slices)
    if not deliver(document, json_file, plots) or document["failed"]:
        raise typer.Exit(1)


def _list_arms() -> None:
    from models.evaluation.arms import KINDS

    width = max(len(kind.name) for kind in KINDS)
    for kind in KINDS:
        typer.echo(f"{kind.name:{width}} {kind.summary}")


def _spoilt(noise: str) -> str:
    from models.evaluation.noise import Noise

    return str(Noise.parse(noise))


def _stretches(micro_windows: str) -> int:
    """How many stretches are asked for.

    Raises:
        ValueError: neither a number above 0 nor `every`.
    """
    from models.evaluation.periods import EVERY

    if micro_windows == "every":
        return EVERY
    if not micro_windows.isdecimal() or not int(micro_windows):
        raise ValueError(f"--micro-windows: must be at least 1, or `every`; got {micro_windows!r}")
    return int(micro_windows)


def _check(protocol: str, against: str | None, kinds: list[ArmKind]) -> None:
    from models.evaluation.report import READINGS

    if protocol not in READINGS:
        raise ValueError(f"--protocol: must be one of {', '.join(READINGS)}")
    if against is not None and against not in {kind.name for kind in kinds}:
        raise ValueError(f"--against: {against} is not among the arms that run")


def _kinds(arms: str | None, *, described: bool) -> list[ArmKind]:
    """The arms that are asked for.

    Raises:
        ValueError: one does not exist, or reads what items say of themselves and is told nothing.
    """
    from models.evaluation.arms import DEFAULT, KINDS, named

    able = [kind.name for kind in KINDS if described or not kind.reads_items]
    if arms == "all":
        return named(able)
    listed = [name.strip() for name in (arms or "").split(",") if name.strip()]
    kinds = named(DEFAULT if arms is None else listed)
    for kind in kinds:
        if kind.name not in able:
            raise ValueError(f"{kind.name} reads what items say of themselves: --items FILE")
    return kinds


def _data(events: Path, stream: Stream, contents: Collection[str] | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "file": events.name,
        "events": stream.num_read,
        "positive": len(stream.item),
        "users": len(stream.users),
        "items": len(stream.items),
        "base": int(stream.bounds[1]),
        "probe_users": int(stream.probe.sum()),
    }
    if contents is not None:
        data["items_described"] = sum(item in contents for item in stream.items.ids)
    return data
