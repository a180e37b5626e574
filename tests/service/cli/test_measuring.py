"""How an evaluation begins, ends, breaks and is interrupted."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from models.evaluation.arm import Arm, ArmKind, ArmSetup
from models.evaluation.popularity import Popularity
from models.evaluation.stream import Slice
from service.cli.app import app


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Six users walk round ten items."""
    path = tmp_path / "events.csv"
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{n % 6},i{(n % 6 + n // 6) % 10},{n}" for n in range(300)]
    path.write_text("\n".join(lines) + "\n")
    return path


class Refusing(Popularity):
    def fit(self, base: Slice) -> None:
        raise ValueError("21600 items are too many")


class Breaking(Popularity):
    def update(self, period: Slice) -> None:
        raise RuntimeError("out of order")


class Interrupted(Popularity):
    def update(self, period: Slice) -> None:
        raise KeyboardInterrupt


MADE: dict[str, Callable[[ArmSetup], Arm]] = {
    "good": lambda _: Popularity(),
    "refusing": lambda _: Refusing(),
    "breaking": lambda _: Breaking(),
    "interrupted": lambda _: Interrupted(),
    "fine": lambda _: Popularity(),
}


@pytest.fixture
def _arms(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = tuple(ArmKind(name, "", make) for name, make in MADE.items())
    monkeypatch.setattr("models.evaluation.arms.KINDS", kinds)


def _run(events: Path, arms: str, *options: object) -> Result:
    asked = ["evaluate", "--events", events, "--periods", 2, "--arms", arms, *options]
    return CliRunner().invoke(app, [*map(str, asked)])


@pytest.mark.parametrize(
    ("option", "place", "reason"),
    [
        ("--json", "missing/figures.json", "there is no folder"),
        ("--json", "", "it is a folder"),
        ("--plots", "events.csv", "is no folder"),
        ("--plots", "events.csv/plots", "is no folder"),
        ("--resume", "events.csv", "is no folder"),
        ("--resume", "/proc/nowhere", "cannot be written"),
    ],
)
def test_what_could_not_be_written_is_said_before_anything_is_read(
    events: Path, option: str, place: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.cli.recordings.read_columns", lambda *_: pytest.fail("it began"))
    result = _run(events, "popularity", option, events.parent / place)

    assert f"evaluate: {option}: " in str(result.exception)
    assert reason in str(result.exception)


def test_looking_at_the_outputs_leaves_nothing_behind(events: Path) -> None:
    folder = events.parent
    _run(events, "magic", "--json", folder / "f.json", "--plots", folder / "new" / "plots",
         "--resume", folder / "runs")  # fmt: skip

    assert [path.name for path in folder.iterdir()] == ["events.csv"]


@pytest.mark.usefixtures("_arms")
def test_a_run_that_cannot_be_kept_is_said_and_the_arms_go_on(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    written, runs = tmp_path / "figures.json", tmp_path / "runs"
    with monkeypatch.context() as patch:
        patch.setattr("service.cli.runs.os.fsync", full)
        result = _run(events, "good,fine", "--resume", runs, "--json", written)

    assert result.exit_code == 0, result.output
    assert list(json.loads(written.read_text())["arms"]) == ["good", "fine"]
    assert "good could not be kept: [Errno 28] No space left" in result.stderr
    assert not list(runs.iterdir()), "no beginnings of files either"


def test_the_arms_compute_where_the_learner_would(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def make(setup: ArmSetup) -> Arm:
        told.append(setup.device)
        return Popularity()

    monkeypatch.setattr("models.evaluation.arms.KINDS", (ArmKind("spy", "", make),))
    written = tmp_path / "figures.json"
    for there, asked, device in ((True, "auto", "cuda"), (True, "cpu", "cpu"),
                                 (False, "auto", "cpu")):  # fmt: skip
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setenv("FRESHET_DEVICE", asked)
        assert _run(events, "spy", "--json", written).exit_code == 0
        assert told.pop() == device
        assert json.loads(written.read_text())["run"]["device"] == device
    monkeypatch.setenv("FRESHET_DEVICE", "cuda")

    assert "FRESHET_DEVICE is cuda, and torch finds none" in str(_run(events, "spy").exception)


@pytest.mark.usefixtures("_arms")
def test_a_line_for_each_arm_that_is_over(events: Path) -> None:
    one, two = (_run(events, "good,fine", "--seeds", n).stderr.splitlines() for n in (1, 2))

    assert one == ["good: Recall@20 1.0000, 0 s", "fine: Recall@20 1.0000, 0 s"]
    assert [line.split(":")[0] for line in two] == [
        "good, seed 0", "fine, seed 0", "good, seed 1", "fine, seed 1",
    ]  # fmt: skip


@pytest.mark.usefixtures("_arms")
def test_interrupted_it_says_what_is_kept(events: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    lost = _run(events, "good,interrupted,fine")
    first = _run(events, "good,interrupted,fine", "--resume", runs)
    again = _run(events, "good,interrupted,fine", "--resume", runs, "--seeds", 2)

    assert [lost.exit_code, first.exit_code, again.exit_code] == [130] * 3
    assert "nothing is kept" in lost.stderr
    assert f"1 of 3 arms are kept in {runs}" in first.stderr
    assert f"1 of 6 arms and seeds are kept in {runs}" in again.stderr


@pytest.mark.usefixtures("_arms")
def test_a_failure_is_a_sentence_and_its_place_is_in_the_file(events: Path, tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    result = _run(events, "good,refusing,breaking", "--json", written)
    figures = json.loads(written.read_text())

    assert result.exit_code == 1
    assert figures["failed"] == {
        "refusing": "21600 items are too many",
        "breaking": "RuntimeError: out of order",
    }
    assert 'raise RuntimeError("out of order")' in figures["tracebacks"]["breaking"]
    assert "refusing failed: 21600 items are too many\n" in result.stderr
    assert "good" in result.stdout
    assert list(figures["arms"]) == ["good"], "what there is comes first"


@pytest.mark.usefixtures("_arms")
def test_without_any_figures_there_are_no_tables_and_no_drawings(
    events: Path, tmp_path: Path
) -> None:
    result = _run(events, "refusing", "--plots", tmp_path / "plots")

    assert result.exit_code == 1
    assert "┃" not in result.stdout


@pytest.mark.parametrize(("types", "said"), [("click,click", True), ("click,purchase", False)])
def test_arms_for_types_are_said_to_be_idle_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, types: str, said: bool
) -> None:
    kinds = tuple(ArmKind(name, "", lambda _: Popularity()) for name in ("multi-task", "other"))
    monkeypatch.setattr("models.evaluation.arms.KINDS", kinds)
    path, names = tmp_path / "typed.csv", types.split(",")
    lines = ["user_id,item_id,timestamp,type"]
    lines += [f"u{n % 6},i{n % 7},{n},{names[n % 2]}" for n in range(2_400)]
    path.write_text("\n".join(lines) + "\n")
    line = "multi-task equals network here: no event types to tell apart"

    assert (line in _run(path, "multi-task,other").stderr) == said
    assert "network here" not in _run(path, "other").stderr
