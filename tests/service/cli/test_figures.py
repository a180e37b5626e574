"""Tables that fit, and figures that are never cut."""

from __future__ import annotations

import math
from typing import Any

import pytest

from models.evaluation.arms import KINDS
from service.cli.figures import show

COLUMNS = 80
FORGOTTEN = ("bwt", "max_forgetting", "fwt", "intransigence", "gap_closed")


def _document(names: list[str], periods: int = 16, seeds: int = 1) -> dict[str, Any]:
    """Every arm with figures of its own, so that each can be looked for."""
    arms = {name: _arm(place, periods, seeds) for place, name in enumerate(names)}
    return {
        "data": {"file": "f.csv", "positive": 1, "users": 1, "items": 1, "probe_users": 1},
        "protocol": "strict",
        "run": {"seed": 3, "seeds": seeds},
        "periods": [{"period": number} for number in range(1, periods + 1)],
        "arms": arms,
        "differences": None,
        "failed": {},
        "wall_s": 1.0,
    }


def _arm(place: int, periods: int, seeds: int) -> dict[str, Any]:
    def figure(kind: int) -> float:
        return 0.1 + kind / 100 + place / 10_000

    bounded = {
        name: {"value": -figure(kind), "low": -0.9 + figure(kind), "high": figure(kind)}
        for kind, name in enumerate(FORGOTTEN)
    }
    return {
        "recall@10": figure(20), "recall@20": figure(21), "mrr@20": figure(22),
        "ndcg@20": figure(23), "fit_s": 123.4, "update_s": 56.7, "answer_s": 8.9,
        "per_period": {"recall@20": [figure(24 + period) for period in range(periods)]},
        "continual": bounded,
        "costs": {"events_replayed": 1_234_567.0, "bytes_kept": 98_765_432.0},
        "update_ratio": 0.321,
        "spread": {"recall@20": 0.0012 if seeds > 1 else None},
    }  # fmt: skip


def _written(figure: float) -> str:
    return f"{figure:.4f}".replace("0.", ".", 1)


def _shown(document: dict[str, Any], capsys: pytest.CaptureFixture[str], width: int) -> str:
    show(document, width=width)
    return capsys.readouterr().out


def _row(text: str, heading: str, name: str) -> list[str]:
    """The cells of an arm in the table with this heading."""
    tables = [part for part in text.split("┏")[1:] if heading in part.split("┡")[0]]
    rows = [line for line in tables[0].splitlines() if line.startswith(f"│ {name} ")]
    return [cell.strip() for cell in rows[0].strip("│").split("│")]


def test_at_80_columns_no_figure_of_any_arm_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    document = _document([kind.name for kind in KINDS])
    text = _shown(document, capsys, COLUMNS)

    assert "…" not in text
    assert max(map(len, text.splitlines())) <= COLUMNS
    for name, arm in document["arms"].items():
        assert _row(text, "R@20", name)[2] == _written(arm["recall@20"])
        assert _row(text, "answer s", name)[-1] == "8.9"
        assert "1,234,567" in _row(text, "replayed", name)
        assert _row(text, "kept MB", name)[-1] == "98.8"
        for figure in arm["per_period"]["recall@20"]:
            assert _written(figure) in text
        for figure in FORGOTTEN:
            bounds = [_written(arm["continual"][figure][part]) for part in ("low", "high")]
            value = _written(arm["continual"][figure]["value"])
            assert f"{value} [{bounds[0]}, {bounds[1]}]" in _row(
                text, figure.replace("_", " "), name
            )


def test_periods_stand_in_tables_of_eight(capsys: pytest.CaptureFixture[str]) -> None:
    text = _shown(_document(["markov"], periods=18), capsys, 500)
    curve = text.split("Recall@20 per period")[1].split("\n\n")[0]

    assert curve.count("┏") == 3
    assert len(_row(curve, " 8 ", "markov")) == 1 + 8
    assert len(_row(curve, " 18 ", "markov")) == 1 + 2


def test_what_fits_no_console_is_wider_than_it(capsys: pytest.CaptureFixture[str]) -> None:
    name = "an-arm-with-a-name-of-" + "many-" * 10 + "words"
    text = _shown(_document([name]), capsys, COLUMNS)

    assert "…" not in text
    assert _row(text, "bwt", name)[1] == "-.1000 [-.8000, .1000]"


def test_a_period_without_a_figure_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    document = _document(["markov"], periods=2)
    document["arms"]["markov"]["per_period"]["recall@20"] = [None, math.nan]

    assert _row(_shown(document, capsys, COLUMNS), " 2 ", "markov")[1:] == ["–", "–"]


def test_several_seeds_are_said_with_their_spread(capsys: pytest.CaptureFixture[str]) -> None:
    one = _shown(_document(["markov"]), capsys, COLUMNS)
    two = _shown(_document(["markov"], seeds=2), capsys, COLUMNS)

    assert "±" not in one
    assert "seed 3, 1 s in all" in one
    assert _row(two, "R@20", "markov")[2] == ".3100 ± .0012"
    assert "mean of 16 periods, 2 seeds from 3" in two


def test_differences_are_shown_with_their_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    document = _document(["freshet", "markov"])
    less = {
        "recall@20": {"value": -0.0312, "low": -0.04, "high": -0.02},
        "mrr@20": {"value": 0.0011, "low": None, "high": None},
    }
    document["differences"] = {"against": "freshet", "arms": {"markov": less}}
    _, shown = _shown(document, capsys, 80).split("Figures less those of freshet")

    assert _row(shown, "MRR@20", "markov")[1:] == ["-.0312 [-.0400, -.0200]", ".0011"]


def test_where_every_arm_failed_there_are_no_tables(capsys: pytest.CaptureFixture[str]) -> None:
    show(_document([]) | {"failed": {"ease": "too many items"}}, slices=True)
    said = capsys.readouterr()

    assert "┃" not in said.out
    assert "Recall" not in said.out
    assert "ease failed: too many items" in said.err
