"""Drawings are SVG that parses and says what was measured."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from service.cli.plots import draw


def _arm(recall: list[float], matrix: list[list[float | None]] | None) -> dict[str, Any]:
    bounds: dict[str, Any] = {"recall@20": {"value": 0.3, "low": 0.2, "high": None}}
    bounds["recall@20"]["high"] = 0.4
    seeds = [{"per_period": {"recall@20": [r + d for r in recall]}} for d in (-0.01, 0.01)]
    return {
        "recall@20": sum(recall) / len(recall),
        "update_s": 1.5,
        "per_period": {"recall@20": recall},
        "seeds": seeds,
        "continual": bounds | ({} if matrix is None else {"matrix": matrix}),
    }


def _document() -> dict[str, Any]:
    return {
        "protocol": "strict",
        "periods": [{"period": 1}, {"period": 2}],
        "arms": {
            "one": _arm([0.1, 0.2], [[0.11, 0.22], [0.33, 0.44], [None, 0.666]]),
            "two": _arm([0.3, 0.4], None),
        },
    }


def _texts(path: Path) -> list[str]:
    return [
        (part.text or "").strip() for part in ET.parse(path).iter() if part.tag.endswith("text")
    ]


def test_a_file_for_each_drawing_and_each_matrix(tmp_path: Path) -> None:
    paths = draw(_document(), tmp_path / "new")

    assert [path.name for path in paths] == ["curve.svg", "cost.svg", "forgetting-one.svg"]
    assert all(path.stat().st_size > 0 for path in paths)
    assert all(ET.parse(path).getroot().tag.endswith("svg") for path in paths)


def test_every_arm_stands_in_curve_and_cost(tmp_path: Path) -> None:
    curve, cost, _ = draw(_document(), tmp_path)

    for path in (curve, cost):
        assert {"one", "two", "Recall@20"} <= set(_texts(path))


def test_the_matrix_has_its_numbers_written_in_and_nothing_where_there_is_none(
    tmp_path: Path,
) -> None:
    texts = _texts(draw(_document(), tmp_path)[-1])

    assert [text for text in texts if text in {".110", ".220", ".330", ".440", ".666"}] == [
        ".110", ".220", ".330", ".440", ".666",
    ]  # fmt: skip
    assert "nan" not in " ".join(texts)


def test_the_same_figures_give_the_same_file(tmp_path: Path) -> None:
    first, second = draw(_document(), tmp_path / "a"), draw(_document(), tmp_path / "b")

    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_nothing_measured_is_nothing_drawn(tmp_path: Path) -> None:
    assert draw(_document() | {"arms": {}}, tmp_path) == []


def test_names_of_arms_at_one_place_do_not_lie_over_each_other(tmp_path: Path) -> None:
    names = [f"arm-{place}" for place in range(36)]
    arms = {name: _arm([0.3, 0.3], None) for name in names}
    path = draw(_document() | {"arms": arms}, tmp_path)[1]
    heights = sorted(
        float(part.attrib["y"]) for part in ET.parse(path).iter()
        if part.tag.endswith("text") and (part.text or "").strip() in names
    )  # fmt: skip

    assert len(heights) == len(names)
    assert min(right - left for left, right in pairwise(heights)) >= 9.0, "a line of nine points"


def test_a_period_that_asked_nothing_is_a_gap(tmp_path: Path) -> None:
    whole, broken = _document(), _document()
    for arm in (broken["arms"]["one"], *broken["arms"]["one"]["seeds"]):
        arm["per_period"]["recall@20"] = [0.1, None]
    broken["arms"]["two"]["recall@20"] = None
    curve, cost, _ = draw(broken, tmp_path / "broken")
    first, _, _ = draw(whole, tmp_path / "whole")

    assert _marks(curve) == _marks(first) - 1
    assert "one" in _texts(cost)
    assert "two" not in _texts(cost)


def _marks(path: Path) -> int:
    return sum(part.tag.endswith("use") for part in ET.parse(path).iter())
