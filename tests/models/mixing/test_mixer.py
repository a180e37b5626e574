"""The mixer finds out who is right, and says so."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from models.mixing.features import names, place_of_rank
from models.mixing.mixer import Kept, Lesson, Mixer
from tests.models.lessons import SOURCES, hits, lessons

UNTAUGHT = Mixer.initial(SOURCES, seed=1)


@functools.cache
def taught(right: str, *, seed: int = 0, size: int = 600) -> Mixer:
    return UNTAUGHT.trained(lessons(seed, size, {right}), seed=seed, learning_rate=0.02)


@pytest.mark.parametrize("right", SOURCES)
def test_whoever_is_always_right_is_believed(right: str) -> None:
    fresh = lessons(99, 200, {right})
    assert hits(UNTAUGHT, fresh) < 0.8
    mixer = taught(right)
    assert hits(mixer, fresh) > 0.97
    assert hits(mixer, lessons(98, 200, set(SOURCES) - {right})) < 0.6


@pytest.mark.parametrize("right", SOURCES)
def test_it_says_who_speaks(right: str) -> None:
    shares = taught(right).speaks(lessons(99, 50, {right}))
    assert set(shares) == {name.split(".")[0] for name in names(SOURCES)}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) >= 0.0
    assert max(SOURCES, key=lambda source: shares[source]) == right


def test_of_a_linear_mixer_who_speaks_is_known() -> None:
    weights = torch.zeros_like(UNTAUGHT.weights)
    weights[place_of_rank(SOURCES, "first")], weights[place_of_rank(SOURCES, "third")] = 3.0, -1.0
    mixer = Mixer.load(SOURCES, UNTAUGHT.tensors() | {"weights": weights})
    shares = mixer.speaks(lessons(0, 100))
    assert shares["first"] == pytest.approx(0.75)  # every source's ranks are the same ones
    assert shares["third"] == pytest.approx(0.25)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_nothing_to_judge_by_is_no_fault() -> None:
    assert set(UNTAUGHT.speaks([]).values()) == {0.0}
    assert not len(UNTAUGHT.scores(np.empty((0, len(names(SOURCES))), dtype=np.float32)))
    assert UNTAUGHT.trained([], seed=0) is UNTAUGHT


def test_what_is_of_no_use_does_not_matter() -> None:
    """Besides one who is right, one who says nothing and one who says anything are as good."""
    told = lessons(3, 600, {"first"})
    silent = [Lesson(without(one.features, "fourth"), one.targets) for one in told]
    fresh = lessons(4, 300, {"first"})
    alike = [Lesson(without(one.features, "fourth"), one.targets) for one in fresh]
    noisy = UNTAUGHT.trained(told, seed=0, learning_rate=0.02)
    quiet = UNTAUGHT.trained(silent, seed=0, learning_rate=0.02)
    assert hits(noisy, fresh) >= hits(quiet, alike) - 0.02
    shares = noisy.speaks(fresh)
    assert shares["fourth"] < 0.5 * shares["first"]


def without(features: Kept, source: str) -> Kept:
    """The features as they are where a source says nothing."""
    found = features.copy()
    rank = place_of_rank(SOURCES, source)
    found[:, rank - 2 : rank + 1] = 0.0
    return found


def test_the_same_lessons_make_the_same_mixer_to_the_bit() -> None:
    first, again = taught("second", size=90), taught.__wrapped__("second", size=90)
    assert same(first, again)
    assert not same(first, UNTAUGHT.trained(lessons(0, 90, {"second"}), seed=1, learning_rate=0.02))


def test_learning_makes_another_one_and_leaves_this_one() -> None:
    before = {name: tensor.clone() for name, tensor in UNTAUGHT.tensors().items()}
    mixer = taught("first", size=40)
    assert not same(mixer, UNTAUGHT)
    assert all(torch.equal(tensor, before[name]) for name, tensor in UNTAUGHT.tensors().items())


def test_what_it_is_goes_out_and_in_again_and_it_learns_on_as_if_nothing_had_been() -> None:
    mixer = taught("third", size=70)
    stored = {name: tensor.clone() for name, tensor in mixer.tensors().items()}
    loaded = Mixer.load(SOURCES, stored)
    assert loaded.sources == mixer.sources
    assert same(loaded, mixer)
    more = lessons(5, 70, {"first"})
    assert same(loaded.trained(more, seed=2), mixer.trained(more, seed=2))
    begun_anew = Mixer.load(SOURCES, UNTAUGHT.tensors() | {"weights": mixer.weights})
    assert not same(begun_anew.trained(more, seed=2), mixer.trained(more, seed=2))


def test_weights_of_other_sources_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights, \d+ expected"):
        Mixer.load((*SOURCES, "fifth"), UNTAUGHT.tensors())


def test_lessons_in_half_precision_are_learned_alike() -> None:
    told = lessons(0, 400, {"second"})
    half = [Lesson(one.features.astype(np.float16).astype(np.float32), one.targets) for one in told]
    packed = [Lesson(one.features.astype(np.float16), one.targets) for one in told]
    assert same(UNTAUGHT.trained(packed, seed=0), UNTAUGHT.trained(half, seed=0))


def same(a: Mixer, b: Mixer) -> bool:
    theirs = b.tensors()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.tensors().items())
