"""The figures of an evaluation as drawings: curves, forgetting matrices, quality against cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "freshet", "font.size": 9}
"""Text stays text, and the same figures give the same file."""
MARKS = "osD^v<>pP*Xhd8"
WRITTEN_UP_TO = 20
"""Periods up to which a matrix has its numbers written in."""


def draw(document: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what `freshet evaluate --json` wrote.

    Args:
        document: the figures.
        folder: where the files go; it is made when it is not there.

    Returns:
        `curve.svg`, `cost.svg` and a `forgetting-<arm>.svg` for each arm that has a matrix.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not document["arms"]:
        return []
    with mpl.rc_context(STYLE):
        figures = {"curve": _curve(document), "cost": _cost(document)}
        for name, arm in document["arms"].items():
            if "matrix" in arm["continual"]:
                figures[f"forgetting-{name}"] = _forgetting(name, arm["continual"]["matrix"])
        return [_written(figure, folder / f"{name}.svg") for name, figure in figures.items()]


def _written(figure: Figure, path: Path) -> Path:
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    return path


def _axes(width: float, height: float, title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _curve(document: dict[str, Any]) -> Figure:
    """Recall@20 per period, a line for each arm; the band is one deviation over seeds.

    A line has a gap where a period asked nothing.
    """
    title = f"Recall@20 per period, {document['protocol']}"
    figure, axes = _axes(8.0, 4.5, title, "period", "Recall@20")
    periods = [period["period"] for period in document["periods"]]
    for number, (name, arm) in enumerate(document["arms"].items()):
        recall = _numbers(arm["per_period"]["recall@20"])
        colour, mark = _look(number)
        axes.plot(periods, recall, color=colour, marker=mark, markersize=4, label=name)
        seeds = [_numbers(seed["per_period"]["recall@20"]) for seed in arm["seeds"]]
        if len(seeds) > 1:
            spread = np.std(seeds, axis=0, ddof=1)
            axes.fill_between(periods, recall - spread, recall + spread, color=colour, alpha=0.15)
    axes.set_xticks(periods)
    axes.set_ylim(bottom=0.0)
    _list_arms(axes)
    return figure


def _forgetting(name: str, matrix: list[list[float | None]]) -> Figure:
    """R as a heat map: a line for each model, a column for each period's probes."""
    values = np.asarray(matrix, dtype=np.float64)
    models, periods = values.shape
    size = 1.5 + 0.5 * periods
    figure, axes = _axes(size + 1.0, size, f"{name}: Recall@20 on probes", "probes of period", "")
    axes.set_ylabel("model after period (0: the base)")
    image = axes.imshow(np.ma.masked_invalid(values), cmap="viridis", vmin=0.0, aspect="auto")
    axes.set_xticks(range(periods), [str(period + 1) for period in range(periods)])
    axes.set_yticks(range(models))
    if periods <= WRITTEN_UP_TO:
        middle = np.nanmax(values, initial=0.0) / 2.0
        for (line, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if value < middle else "black"
                written = f"{value:.3f}".removeprefix("0")
                axes.text(column, line, written, ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axes)
    return figure


def _cost(document: dict[str, Any]) -> Figure:
    """Recall@20 against the seconds of an update; bars are the interval over users.

    Arms are named beside the drawing, so that no two names lie over each other.
    """
    figure, axes = _axes(7.0, 4.5, "Quality against cost", "seconds per update", "Recall@20")
    for number, (name, arm) in enumerate(document["arms"].items()):
        colour, mark = _look(number)
        if arm["recall@20"] is None:
            continue
        bounds = arm["continual"]["recall@20"]
        axes.plot(arm["update_s"], arm["recall@20"], mark, color=colour, label=name)
        if bounds["low"] is not None:
            axes.vlines(arm["update_s"], bounds["low"], bounds["high"], color=colour, alpha=0.4)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_xlim(left=-0.002)
    _list_arms(axes)
    return figure


def _list_arms(axes: Axes) -> None:
    """Name the arms to the right, a line each."""
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _numbers(figures: list[float | None]) -> npt.NDArray[np.float64]:
    """With NaN for what is not there."""
    return np.asarray(figures, dtype=np.float64)


def _look(number: int) -> tuple[str, str]:
    """Colour and mark of the arm in this place; no two of seventy look the same."""
    return f"C{number % 10}", MARKS[number % len(MARKS)]
