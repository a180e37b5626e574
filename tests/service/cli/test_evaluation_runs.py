"""Finished runs on disk: taken when everything is the same, and not otherwise."""

from __future__ import annotations

import dataclasses
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.config import LearningConfig
from models.content.features import Content
from models.evaluation.arm import Arm, ArmKind, ArmSetup
from models.evaluation.popularity import Popularity
from models.evaluation.protocol import Evaluation, evaluate
from models.evaluation.stream import Columns, Slice, Stream
from service.cli.runs import RunFiles, circumstances

ASKED: dict[str, Any] = {
    "baskets": "set", "stop_after": None, "share": 1.0, "seed": 0, "threads": 1,
}  # fmt: skip


def _stream(
    last: str = "i3",
    probes: float = 0.2,
    num_periods: int = 2,
    last_weight: float = 1.0,
    micro_windows: int = 1,
) -> Stream:
    columns = Columns([], [], [], [], [], [])
    for n in range(120):
        columns.append(f"u{n % 12}", f"i{n % 5}", time_ms=n)
    columns.append("u1", last, time_ms=120, weight=last_weight)
    return Stream(columns, num_periods=num_periods, probe_share=probes, micro_windows=micro_windows)


class Counting(Popularity):
    fits = 0

    def fit(self, base: Slice) -> None:
        type(self).fits += 1
        super().fit(base)


class Breaking(Popularity):
    def update(self, period: Slice) -> None:
        raise RuntimeError("out of order")


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    Counting.fits = 0


def _run(
    folder: Path,
    stream: Stream | None = None,
    setup: ArmSetup | None = None,
    arm: type[Arm] = Counting,
    **asked: Any,
) -> Evaluation:
    stream, setup = stream or _stream(), setup or ArmSetup()
    store = RunFiles(folder, circumstances(stream, setup, ASKED | asked))
    clock = count()
    kind = ArmKind("arm", "", lambda _: arm())
    return evaluate(stream, [kind], setup, clock=lambda: float(next(clock)), store=store)


def test_a_finished_run_is_taken_as_it_was(tmp_path: Path) -> None:
    first, second = _run(tmp_path).runs["arm"], _run(tmp_path).runs["arm"]

    assert Counting.fits == 1
    assert dataclasses.replace(second, ranks=[], probe_ranks=[]) == dataclasses.replace(
        first, ranks=[], probe_ranks=[]
    )
    for kept, ranks in zip(second.ranks, first.ranks, strict=True):
        assert np.array_equal(kept, ranks)
    assert len(second.probe_ranks) == 3
    for line, expected in zip(second.probe_ranks, first.probe_ranks, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(line, expected, strict=True))


@pytest.mark.parametrize(
    "setup",
    [
        ArmSetup(seed=1),
        ArmSetup(window=10),
        ArmSetup(config=LearningConfig(learning_rate=0.1)),
        ArmSetup(config=LearningConfig(methods=("ewc",))),
        ArmSetup(contents={"i1": Content("One")}),
    ],
    ids=["seed", "window", "rate", "methods", "contents"],
)
def test_other_learning_is_another_run(tmp_path: Path, setup: ArmSetup) -> None:
    _run(tmp_path)
    _run(tmp_path, setup=setup)

    assert Counting.fits == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"last": "i4"},
        {"probes": 0.0},
        {"num_periods": 3},
        {"last_weight": 0.5},
        {"micro_windows": 4},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_stream_is_another_run(tmp_path: Path, changes: dict[str, Any]) -> None:
    _run(tmp_path)
    _run(tmp_path, stream=_stream(**changes))

    assert Counting.fits == 2


def test_another_number_of_updates_in_a_period_is_another_run(tmp_path: Path) -> None:
    stream = _stream(micro_windows=4)
    for updates, fits in ((None, 1), (4, 1), (2, 2), (1, 3)):
        _run(tmp_path, stream, ArmSetup(weights_windows=updates))
        assert Counting.fits == fits


@pytest.mark.parametrize(
    "asked", [{"share": 0.5}, {"stop_after": 1}, {"threads": 2}, {"baskets": "lines"}],
    ids=lambda asked: next(iter(asked)),
)  # fmt: skip
def test_another_protocol_is_another_run(tmp_path: Path, asked: dict[str, Any]) -> None:
    _run(tmp_path)
    _run(tmp_path, **asked)

    assert Counting.fits == 2


def test_who_draws_the_asked_matters_only_when_some_are_drawn(tmp_path: Path) -> None:
    stream, setup = _stream(), ArmSetup()

    assert circumstances(stream, setup, ASKED) == circumstances(stream, setup, ASKED | {"seed": 9})
    some = ASKED | {"share": 0.5}
    assert circumstances(stream, setup, some) != circumstances(stream, setup, some | {"seed": 9})


def test_a_run_that_broke_is_not_kept(tmp_path: Path) -> None:
    assert _run(tmp_path, arm=Breaking).runs["arm"].error is not None
    assert _run(tmp_path).runs["arm"].error is None
    assert Counting.fits == 1


def test_a_file_cut_short_is_run_again(tmp_path: Path) -> None:
    _run(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    _run(tmp_path)

    assert Counting.fits == 2


def test_a_write_that_is_interrupted_leaves_nothing_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("service.cli.runs.os.fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _run(tmp_path)
    assert not list(tmp_path.glob("*.npz"))
    _run(tmp_path)
    assert Counting.fits == 2
