"""The demo's picture fits the terminal that it is shown on."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from service.cli.demo import view
from service.cli.demo.guest import Visit
from service.cli.demo.observer import Lesson, Observation

LESSONS = tuple(
    Lesson(number, "active", 0.2 + number / 100, 0.1, 0.3, 0.31, 31_000.0, "insufficient_evidence")
    for number in range(2, 26)
)
ITEMS = tuple(f"item-11-{number}" for number in range(40, 46))
SCENE = view.Scene(
    url="http://127.0.0.1:8000",
    source="a synthetic stream",
    total=1_234_567,
    started_at=12_000,
    next_number=123_456,
    accepted=111_456,
    events_per_s=1_999.0,
    trouble=None,
    seen=Observation(25, None, 12_345, LESSONS),
    visit=Visit(ITEMS, ITEMS[:3], ITEMS[2:], "personalized", 25, 12.0),
)


def shown(scene: view.Scene, width: int, height: int) -> list[str]:
    console = Console(
        width=width, height=height, record=True, file=io.StringIO(), force_terminal=True
    )
    console.print(view.panel(scene, width, height))
    return console.export_text().splitlines()


@pytest.mark.parametrize("trouble", [None, "no answer (ConnectError); sending again"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_whole_picture_fits(width: int, height: int, trouble: str | None) -> None:
    lines = shown(replace(SCENE, trouble=trouble), width, height)
    assert len(lines) < height
    assert {len(line) for line in lines} == {width}
    assert "freshet learns from a synthetic stream" in lines[0]
    assert "Ctrl-C ends it" in lines[-1]
    text = "\n".join(lines)
    assert "…" not in text
    for part in (*view.commands(SCENE.url), "popularity 0.100", "what it remembers", "12,345"):
        assert part in text


def test_few_rows_cost_blank_lines_first_and_then_the_commands() -> None:
    low = shown(SCENE, 80, 17)
    assert len(low) < 17
    assert not [line for line in low if not line.strip("│ ")]
    assert "/v1/items/trending" in "\n".join(low)
    lowest = shown(SCENE, 80, 13)
    assert len(lowest) < 13
    assert "/docs" in lowest[-2]
    assert "curl" not in "\n".join(lowest)
    assert "Ctrl-C ends it" in lowest[-1]


def test_ids_are_shown_as_they_are_and_a_long_name_by_its_end() -> None:
    visit = Visit(("[red]a", "[/]"), ("b" * 200,), ("[bold]c",), "personalized", 2, 1.0)
    scene = replace(SCENE, source="[dim]/" + 100 * "x" + "/mine.csv", visit=visit)
    lines = shown(scene, 80, 24)
    assert {len(line) for line in lines} == {80}
    assert "mine.csv" in lines[0]
    text = "\n".join(lines)
    assert "[red]a  [/]" in text
    assert "[bold]c" in text


def bars(values: list[float]) -> str:
    lessons = tuple(replace(LESSONS[0], fresh=value, old=None) for value in values)
    seen = replace(SCENE.seen, lessons=lessons)
    lines = shown(replace(SCENE, seen=seen), 120, 40)
    line = next(line for line in lines if "fresh events" in line)
    return "".join(sign for sign in line if sign in "▁▂▃▄▅▆▇█")


def test_a_curve_stands_on_zero_so_that_noise_is_no_collapse() -> None:
    assert bars([0.50, 0.49, 0.50, 0.48]) == "████"
    assert bars([0.50, 0.25, 0.0]) == "█▅▁"
    assert bars([0.0, 0.0]) == "▁▁"


def test_a_curve_says_how_high_it_is() -> None:
    assert "0–0.45" in "\n".join(shown(SCENE, 80, 24))
