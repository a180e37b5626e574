"""`freshet evaluate` from file to figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli.app import app

ARMS = "popularity,recent-popularity,markov"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Six users walk round ten items; every fifth line is a rating that nobody should count."""
    path = tmp_path / "events.csv"
    lines = ["user_id,item_id,timestamp,type,value"]
    for n in range(300):
        user, step = n % 6, n // 6
        lines.append(f"u{user},i{(user + step) % 10},{n},click,")
        if n % 5 == 0:
            lines.append(f"u{user},never,{n},rating,1.0")
    path.write_text("\n".join(lines) + "\n")
    return path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_figures_go_to_stdout_and_to_the_file(events: Path, tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\ni1,One\ni2,Two\n")
    written = tmp_path / "figures.json"
    result = _run(
        "--events", events, "--items", items, "--arms", ARMS, "--periods", 4, "--json", written
    )
    figures = json.loads(written.read_text())

    assert result.exit_code == 0, result.output
    assert "Recall@20 per period" in result.stdout
    assert all(name in result.stdout for name in ARMS.split(","))
    assert figures["data"] == {
        "file": "events.csv",
        "events": 360,
        "positive": 300,
        "users": 6,
        "items": 10,
        "base": 180,
        "items_described": 2,
    }
    assert figures["protocol"] == "strict"
    assert [period["events"] for period in figures["periods"]] == [30] * 4
    assert set(figures["arms"]) == set(ARMS.split(","))
    markov = figures["arms"]["markov"]
    assert markov["mrr@20"] == 1.0, "the next item is certain"
    assert markov["per_period"]["recall@20"] == [1.0] * 4
    assert {"recall@10", "ndcg@20", "fit_s", "update_s", "answer_s"} <= set(markov)
    assert figures["arms"]["popularity"]["mrr@20"] < 0.5


def test_the_service_s_own_update_learns(events: Path, tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    result = _run("--events", events, "--arms", "freshet,popularity", "--json", written,
                  "--periods", 2, "--threads", 1, "--seed", 3)  # fmt: skip
    arms = json.loads(written.read_text())["arms"]

    assert result.exit_code == 0, result.output
    assert arms["freshet"]["mrr@20"] > arms["popularity"]["mrr@20"] + 0.2
    assert arms["freshet"]["costs"]["positions_trained"] > 0


def test_arms_are_listed_with_a_line_each() -> None:
    result = _run("--list-arms")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("frozen ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arms", "magic"], "magic not known"),
        (["--protocol", "kind"], "must be one of strict, ader"),
        (["--baskets", "bags"], "must be set or lines"),
        (["--periods", "500"], "too few"),
    ],
)
def test_what_cannot_be_is_said(events: Path, arguments: list[str], message: str) -> None:
    result = _run("--events", events, *arguments)

    assert result.exit_code != 0
    assert message in str(result.exception)


def test_an_event_type_that_nobody_knows_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,timestamp,type\nu,i,1,click\nu,i,2,sneeze\n")
    result = _run("--events", path)

    assert "line 3: type 'sneeze' is not one of click" in str(result.exception)


def test_a_file_must_be_named() -> None:
    assert _run().exit_code == 2
