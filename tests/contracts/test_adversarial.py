"""Adversarial distillation keeps the promises of methods as the other form does."""

from __future__ import annotations

from typing import Any

import pytest

from models.continual.distillation import Distillation
from models.registry import ENCODERS
from tests.contracts import test_methods as promises
from tests.contracts.methods import OFF, ON, config, grown_up, second_window

FORM: dict[str, Any] = {"form": "adversarial"}
each_encoder = pytest.mark.parametrize("encoder", sorted(ENCODERS))


@pytest.fixture(autouse=True)
def adversarial(monkeypatch: pytest.MonkeyPatch) -> None:
    for parameters in (ON, OFF):
        monkeypatch.setitem(parameters, "distillation", parameters["distillation"] | FORM)


@each_encoder
def test_it_makes_a_difference(encoder: str) -> None:
    promises.test_it_makes_a_difference("distillation", encoder)


@each_encoder
def test_switched_off_it_is_bit_identical_to_no_method(encoder: str) -> None:
    promises.test_switched_off_it_is_bit_identical_to_no_method("distillation", encoder)


@each_encoder
def test_a_version_written_and_read_learns_on_as_one_in_memory(encoder: str) -> None:
    """The discriminator is begun anew in each update: nothing of it is in a version."""
    promises.test_its_state_goes_out_and_in_to_the_bit("distillation", encoder)


@each_encoder
def test_stopped_early_it_leaves_nothing_of_later_passes(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    promises.test_stopped_early_it_is_as_if_it_had_been_asked_for_so_many_passes(
        "distillation", encoder, monkeypatch
    )


def test_a_learned_version_keeps_no_discriminator() -> None:
    """It would lie where the update was computed, for as long as the version is in memory."""
    settings = config("distillation", **ON["distillation"])
    parent = grown_up(settings)
    for state in (parent, second_window(settings, parent).state):
        method = state.methods["distillation"]
        assert isinstance(method, Distillation)
        assert method.adversary is None


def test_learning_goes_on_under_it() -> None:
    promises.test_learning_goes_on_under_it("distillation")
