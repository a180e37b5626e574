"""The figures of an evaluation as tables on stdout."""

from __future__ import annotations

import sys
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

FILE_WIDTH = 160
"""Columns of the tables where stdout is no terminal."""
FORGETTING = ("bwt", "max_forgetting", "fwt", "intransigence", "gap_closed")


def show(document: dict[str, Any], *, slices: bool = False) -> None:
    """Print what was measured: quality and seconds, the curve, and what was forgotten.

    Args:
        document: as `freshet evaluate` writes it.
        slices: also by how many events of the item or the user there had been.
    """
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    data = document["data"]
    console.print(
        f"{data['file']}: {data['positive']:,} positive events of {data['users']:,} users, "
        f"{data['items']:,} items; {data['probe_users']:,} users are probes",
        highlight=False,
    )
    console.print(_figures(document))
    console.print(_curve(document))
    console.print(_continual(document))
    if slices and document["arms"]:
        console.print(_slices(document, "item_events", "learned from before the period"))
        console.print(_slices(document, "user_events", "of the user before the question"))
    sys.stdout.flush()
    for name, error in document["failed"].items():
        typer.echo(f"{name} failed: {error}", err=True)
    run = document["run"]
    seeds = (
        f"seed {run['seed']}" if run["seeds"] == 1 else f"{run['seeds']} from seed {run['seed']}"
    )
    typer.echo(f"{seeds}, {document['wall_s']:.0f} s in all")


def _figures(document: dict[str, Any]) -> Table:
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
    table = Table(title="Recall@20 per period")
    table.add_column("period", justify="right", no_wrap=True)
    for name in document["arms"]:
        table.add_column(name, justify="right")
    for place, period in enumerate(document["periods"]):
        recall = [arm["per_period"]["recall@20"][place] for arm in document["arms"].values()]
        table.add_row(str(period["period"]), *map(_short, recall))
    return table


def _continual(document: dict[str, Any]) -> Table:
    """Forgetting and the share of the gap with their intervals, beside what they cost."""
    table = Table(title="Recall@20: what was forgotten, and the share of the gap closed, in 95 %")
    table.add_column("arm", no_wrap=True)
    for heading in (*(name.replace("_", " ") for name in FORGETTING), "of full s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("replayed", "kept MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, arm in document["arms"].items():
        bounded = [_bounded(arm["continual"][figure]) for figure in FORGETTING]
        costs = arm["costs"]
        table.add_row(
            name,
            *bounded,
            _number(arm["update_ratio"], ".3f"),
            _number(costs.get("events_replayed"), ",.0f"),
            _number(costs.get("bytes_kept"), ",.1f", 1e-6),
        )
    return table


def _slices(document: dict[str, Any], name: str, what: str) -> Table:
    """An arm to a row, a number of events to a column."""
    table = Table(title=f"Recall@20 / MRR@20 by events {what}")
    table.add_column("arm", no_wrap=True)
    parts = {arm: figures["slices"][name] for arm, figures in document["arms"].items()}
    first = next(iter(parts.values()))
    for bucket in first:
        table.add_column(bucket, justify="right", no_wrap=True)
    table.add_row("questions", *(f"{part['n']:,}" for part in first.values()))
    for arm, buckets in parts.items():
        cells = (
            f"{_short(part['recall@20'])} / {_short(part['mrr@20'])}" if part["n"] else "–"
            for part in buckets.values()
        )
        table.add_row(arm, *cells)
    return table


def _bounded(figure: dict[str, float | None]) -> str:
    value, low, high = (figure[part] for part in ("value", "low", "high"))
    if value is None:
        return "–"
    if low is None or high is None:
        return _short(value)
    return f"{_short(value)} [{_short(low)}, {_short(high)}]"


def _number(value: float | None, form: str, factor: float = 1.0) -> str:
    return "–" if value is None else format(value * factor, form)


def _short(figure: float) -> str:
    """Four places, without the zero before the point."""
    return f"{figure:.4f}".replace("0.", ".", 1) if abs(figure) < 1.0 else f"{figure:.4f}"
