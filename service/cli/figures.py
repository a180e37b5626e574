"""The figures of an evaluation as tables on stdout: an arm to a row, and no figure ever cut."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

FILE_WIDTH = 160
"""Columns of the tables where stdout is no terminal."""
PERIODS_AT_ONCE = 8
"""Periods in one table of the curve, at most."""
FORGETTING = ("bwt", "max_forgetting", "fwt", "intransigence")
NONE = "–"

Arm = Mapping[str, Any]
Columns = Mapping[str, list[str]]
"""Cells by heading, one for each row."""


def show(document: dict[str, Any], *, slices: bool = False, width: int | None = None) -> None:
    """Print what was measured: quality and seconds, the curve, forgetting, and what it cost.

    Args:
        document: as `freshet evaluate` writes it.
        slices: also by how many events of the item or the user there had been.
        width: columns of characters to fit tables into; None takes the terminal's.
    """
    console = Console(width=width if width or sys.stdout.isatty() else FILE_WIDTH)
    data = document["data"]
    _say(
        console,
        f"{data['file']}: {data['positive']:,} positive events of {data['users']:,} users, "
        f"{data['items']:,} items; {data['probe_users']:,} users are probes",
    )
    if document["arms"]:
        _tables(console, document)
        if slices:
            part = "period" if document["run"].get("micro_windows", 1) == 1 else "stretch"
            _slices(console, document, "item_events", f"learned from before the {part}")
            _slices(console, document, "user_events", "of the user before the question")
    sys.stdout.flush()
    for name, error in document["failed"].items():
        typer.echo(f"{name} failed: {error}", err=True)
    typer.echo(f"{_seeds(document['run'])}, {document['wall_s']:.0f} s in all")


def short(figure: float | None) -> str:
    """Four places, without the zero before the point."""
    if figure is None or math.isnan(figure):
        return NONE
    return f"{figure:.4f}".replace("0.", ".", 1) if abs(figure) < 1.0 else f"{figure:.4f}"


def _tables(console: Console, document: dict[str, Any]) -> None:
    arms: dict[str, Arm] = document["arms"]
    periods = [str(period["period"]) for period in document["periods"]]
    seeds = f", {_seeds(document['run'])}" if document["run"]["seeds"] > 1 else ""
    _say(console, f"\n{document['protocol']}, mean of {len(periods)} periods{seeds}")
    _table(console, arms, _figures(arms))
    _say(console, "\nRecall@20 per period")
    curves = [arm["per_period"]["recall@20"] for arm in arms.values()]
    cells = {
        period: [short(curve[place]) for curve in curves] for place, period in enumerate(periods)
    }
    _table(console, arms, cells, at_once=PERIODS_AT_ONCE)
    if document["differences"] is not None:
        _differences(console, document["differences"])
    _say(console, "\nRecall@20 of probes: what was forgotten, in 95 %")
    bounded = {name: [_bounded(arm["continual"][name]) for arm in arms.values()]
               for name in FORGETTING}  # fmt: skip
    _table(console, arms, {name.replace("_", " "): column for name, column in bounded.items()})
    _say(console, "\nShare of the gap to a full retrain closed, in 95 %, and what it cost")
    _table(console, arms, _costs(arms))


def _differences(console: Console, differences: Mapping[str, Any]) -> None:
    arms: dict[str, Arm] = differences["arms"]
    _say(console, f"\nFigures less those of {differences['against']}, paired, in 95 %")
    names = {"R@20": "recall@20", "MRR@20": "mrr@20"}
    _table(
        console,
        arms,
        {told: [_bounded(arm[name]) for arm in arms.values()] for told, name in names.items()},
    )


def _figures(arms: Mapping[str, Arm]) -> Columns:
    """Quality, the headline with its spread over seeds, and seconds."""
    spreads = [arm["spread"]["recall@20"] for arm in arms.values()]
    headline = [
        short(arm["recall@20"]) + ("" if spread is None else f" ± {short(spread)}")
        for arm, spread in zip(arms.values(), spreads, strict=True)
    ]
    return {
        "R@10": _each(arms, lambda arm: short(arm["recall@10"])),
        "R@20": headline,
        "MRR@20": _each(arms, lambda arm: short(arm["mrr@20"])),
        "NDCG@20": _each(arms, lambda arm: short(arm["ndcg@20"])),
        "fit s": _each(arms, lambda arm: f"{arm['fit_s']:.1f}"),
        "update s": _each(arms, lambda arm: f"{arm['update_s']:.1f}"),
        "answer s": _each(arms, lambda arm: f"{arm['answer_s']:.1f}"),
    }


def _costs(arms: Mapping[str, Arm]) -> Columns:
    return {
        "gap closed": _each(arms, lambda arm: _bounded(arm["continual"]["gap_closed"])),
        "of full s": _each(arms, lambda arm: _number(arm["update_ratio"], ".3f")),
        "replayed": _each(arms, lambda arm: _number(arm["costs"].get("events_replayed"), ",.0f")),
        "kept MB": _each(arms, lambda arm: _number(arm["costs"].get("bytes_kept"), ",.1f", 1e-6)),
    }


def _slices(console: Console, document: dict[str, Any], name: str, what: str) -> None:
    """An arm to a row, a number of events to a column."""
    parts = {arm: figures["slices"][name] for arm, figures in document["arms"].items()}
    first = next(iter(parts.values()))
    cells = {
        bucket: [f"{first[bucket]['n']:,}"] + [_slice(part[bucket]) for part in parts.values()]
        for bucket in first
    }
    _say(console, f"\nRecall@20 / MRR@20 by events {what}")
    _table(console, ["questions", *parts], cells)


def _table(
    console: Console, rows: Iterable[str], columns: Columns, *, at_once: int | None = None
) -> None:
    """Print columns as one table, or as several below each other where they do not fit.

    A table of a single column that does not fit is printed wider than the console.
    """
    rows, headings = list(rows), list(columns)
    while headings:
        count = min(at_once or len(headings), len(headings))
        while count > 1 and _width(rows, columns, headings[:count]) > console.width:
            count -= 1
        now, headings = headings[:count], headings[count:]
        wide = max(console.width, _width(rows, columns, now))
        Console(width=wide).print(_made(rows, columns, now), highlight=False)


def _made(rows: list[str], columns: Columns, headings: list[str]) -> Table:
    table = Table()
    table.add_column("arm", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for place, name in enumerate(rows):
        table.add_row(name, *(columns[heading][place] for heading in headings))
    return table


def _width(rows: list[str], columns: Columns, headings: list[str]) -> int:
    """Columns of characters that `_made` takes in full: each its longest cell, two blanks and a
    line."""
    cells = [["arm", *rows], *([heading, *columns[heading]] for heading in headings)]
    return 1 + sum(max(map(cell_len, column)) + 3 for column in cells)


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _seeds(run: Mapping[str, Any]) -> str:
    return (
        f"seed {run['seed']}" if run["seeds"] == 1 else f"{run['seeds']} seeds from {run['seed']}"
    )


def _each(arms: Mapping[str, Arm], cell: Callable[[Arm], str]) -> list[str]:
    return [cell(arm) for arm in arms.values()]


def _slice(part: Mapping[str, Any]) -> str:
    return f"{short(part['recall@20'])} / {short(part['mrr@20'])}" if part["n"] else NONE


def _bounded(figure: Mapping[str, float | None]) -> str:
    low, high = figure["low"], figure["high"]
    if figure["value"] is None or low is None or high is None:
        return short(figure["value"])
    return f"{short(figure['value'])} [{short(low)}, {short(high)}]"


def _number(value: float | None, form: str, factor: float = 1.0) -> str:
    return NONE if value is None else format(value * factor, form)
