"""What a method is not asked for: other encoders, names and values are refused by a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from models.config import LearningConfig
from models.continual.methods import method_named
from models.registry import ENCODERS, METHODS
from tests.contracts.methods import config, each_method


@pytest.mark.parametrize(
    ("name", "encoder"),
    [(name, e) for name in METHODS for e in sorted({*ENCODERS} - method_named(name).encoders)],
)
def test_an_encoder_that_it_does_not_work_with_is_refused(name: str, encoder: str) -> None:
    fit = " and ".join(sorted(method_named(name).encoders))
    with pytest.raises(ValueError, match=f"methods: {name} works with {fit}, not with {encoder}"):
        config(name, encoder)


@each_method
def test_a_parameter_that_it_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has"):
        config(name, nonsense=1)


def test_a_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="methods: 'mas' is not known; allowed are l2, ewc"):
        config("mas")
    with pytest.raises(ValueError, match="'mas' is not known"):
        LearningConfig(parameters={"mas": {}})


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("l2", "strength", -1.0),
        ("online-ewc", "decay", 1.1),
        ("si", "damping", 0.0),
        ("distillation", "on", "nothing"),
        ("distillation", "form", "by hand"),
        ("distillation", "temperature", "hot"),
        ("distillation", "adaptive", 1),
        ("generative-replay", "length", 1),
        ("generative-replay", "length", 2.5),
        ("generative-replay", "length", 1_001),
        ("generative-replay", "top", 10.5),
        ("feature-extraction", "after", 1.5),
        ("ewc", "strength", float("inf")),
        ("l2", "strength", float("nan")),
        ("adapters", "most", 7),
        ("reptile", "rate", 2),
        ("progressive", "width", 0),
        ("progressive", "every", 1.5),
        ("progressive", "rows", 1),
        ("den", "threshold", -1.5),
        ("den", "most", -1),
        ("den", "selected", 1.5),
        ("fine-tuning", "layers", -1),
        ("fine-tuning", "unfreeze", 0.5),
        ("replay", "keep", "everything"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, parameter: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: {parameter}: must be"):
        config(name, **{parameter: value})


@pytest.mark.parametrize("name", ["weight_decay", "replay_ratio", "gate_margin"])
def test_a_setting_that_is_not_finite_is_refused_by_name(name: str) -> None:
    for value, sentence in ((float("inf"), "finite"), (float("nan"), "at least 0.0")):
        given: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=f"{name}: must be {sentence}, got"):
            LearningConfig(**given)


def test_parameters_of_a_method_that_is_not_named_are_known_to_change_nothing() -> None:
    given = {"ewc": {"strength": 2.0}, "l2": {"strength": 3.0}}
    assert LearningConfig(methods=("l2",), parameters=given).unused == ["ewc"]
