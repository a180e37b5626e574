"""Experts: weights follow who has been right, and what that costs is bounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from models.mixing.hedge import MIXER, RATE, SHARE, Experts

SOURCES = ("a", "b", "c", "d")
NAMES = (MIXER, *SOURCES)
N = len(NAMES)
Gain = Mapping[str, float]
Adversary = Callable[[int, Experts], Gain]


def only(name: str, gain: float = 1.0) -> Gain:
    return {name: gain}


def randomly(at: int, experts: Experts) -> Gain:
    random = np.random.default_rng(at)
    return dict(zip(NAMES, random.random(N).tolist(), strict=True))


def one_is_better(at: int, experts: Experts) -> Gain:
    random = np.random.default_rng(at)
    return {name: float(random.random() < (0.5 if name == "c" else 0.3)) for name in NAMES}


def against_the_leader(at: int, experts: Experts) -> Gain:
    """Whoever is believed most is wrong."""
    return {name: float(name != experts.leader) for name in NAMES}


def against_the_weights(at: int, experts: Experts) -> Gain:
    """The two that are believed least are right."""
    least = np.argsort(experts.weights)[:2]
    return {NAMES[place]: 1.0 for place in least}


def one_is_always_right(at: int, experts: Experts) -> Gain:
    return only("d")


def the_best_turns(at: int, experts: Experts) -> Gain:
    return only(NAMES[at // 1_000 % N])


ADVERSARIES: dict[str, Adversary] = {
    adversary.__name__: adversary
    for adversary in (
        randomly,
        one_is_better,
        against_the_leader,
        against_the_weights,
        one_is_always_right,
        the_best_turns,
    )
}


def played(adversary: Adversary, questions: int) -> tuple[Experts, np.ndarray, np.ndarray]:
    """The experts at the end; what each earned [T, n]; what a draw by the weights did [T]."""
    experts, gains, drawn = Experts.among(SOURCES), list[list[float]](), list[float]()
    for at in range(questions):
        gain = adversary(at, experts)
        gains.append([gain.get(name, 0.0) for name in NAMES])
        drawn.append(float(np.dot(experts.weights, gains[-1])))
        experts = experts.after([gain])
        assert sum(experts.weights) == pytest.approx(1.0, abs=1e-9)
        assert min(experts.weights) >= SHARE / N * (1 - 1e-9)
    return experts, np.asarray(gains), np.asarray(drawn)


@pytest.mark.parametrize("name", ADVERSARIES)
def test_draws_by_the_weights_stay_within_the_bound(name: str) -> None:
    experts, gains, drawn = played(ADVERSARIES[name], 3_000)
    assert (gains.sum(axis=0).max() - drawn.sum()) / 3_000 <= experts.bound
    assert experts.earned == pytest.approx(gains.sum(axis=0).tolist())
    assert experts.questions == 3_000


@pytest.mark.parametrize("name", ADVERSARIES)
def test_and_over_any_stretch_within_that_of_a_stretch(name: str) -> None:
    _, gains, drawn = played(ADVERSARIES[name], 3_000)
    for start, length in [(0, 500), (700, 900), (1_000, 1_000), (1_500, 1_500), (2_000, 1_000)]:
        here = slice(start, start + length)
        dealt = math.log(N / SHARE) - (length - 1) * math.log1p(-SHARE)
        bound = dealt / RATE + RATE * length / 8
        assert gains[here].sum(axis=0).max() - drawn[here].sum() <= bound


def test_the_bound_is_that_of_the_literature() -> None:
    """Worked out by hand: ln 5 = 1.6094, ln 1/(1 − .001) = .0010005."""
    assert Experts.among(SOURCES).bound == math.inf
    experts = Experts.among(SOURCES).after([{}] * 1_000)
    assert experts.bound == pytest.approx((1.6094 + 999 * 0.0010005) / 0.02 / 1_000 + 0.0025, 1e-3)


@pytest.mark.parametrize("best", NAMES)
def test_whoever_is_best_comes_to_lead(best: str) -> None:
    random = np.random.default_rng(7)
    gains = [
        {name: float(random.random() < (0.4 if name == best else 0.2)) for name in NAMES}
        for _ in range(2_000)
    ]
    assert Experts.among(SOURCES).after(gains).leader == best


def test_nobody_has_been_right_yet_and_the_mixer_leads() -> None:
    assert Experts.among(SOURCES).leader == MIXER
    assert Experts.among(SOURCES).after([{}] * 10).leader == MIXER
    assert Experts.among(SOURCES).regret == 0.0


def test_to_be_right_a_few_times_is_not_enough_to_lead() -> None:
    experts = Experts.among(SOURCES)
    assert experts.after([only("a", 1.0)] * 30).leader == MIXER
    assert experts.after([only("a", 1.0)] * 40).leader == "a"
    assert experts.after([only("a", 1.0)] * 40 + [only(MIXER, 1.0)] * 10).leader == MIXER


def test_when_the_best_changes_the_lead_does_long_before_the_sums_do() -> None:
    experts = Experts.among(SOURCES).after([only("a", 0.5)] * 5_000)
    assert experts.leader == "a"
    experts = experts.after([only("b", 0.5)] * 1_000)
    assert experts.leader == "b"
    assert experts.earned[NAMES.index("a")] > experts.earned[NAMES.index("b")]


def test_regret_is_what_following_the_leader_earned_less_than_the_best_source() -> None:
    """The mixer leads until a source has been right 36 times more, which counts from then on."""
    experts = Experts.among(SOURCES).after([only("b", 1.0)] * 40 + [only("c", 1.0)] * 2)
    assert experts.followed == pytest.approx(4.0)
    assert experts.regret == pytest.approx((40 - 4) / 42)
    mixed = Experts.among(SOURCES).after([{MIXER: 1.0, "a": 0.25}] * 4)
    assert mixed.regret == pytest.approx(-0.75)


def test_one_after_the_other_is_all_at_once() -> None:
    gains = [randomly(at, Experts.among(SOURCES)) for at in range(50)]
    one_by_one = Experts.among(SOURCES)
    for gain in gains:
        one_by_one = one_by_one.after([gain])
    assert one_by_one == Experts.among(SOURCES).after(gains)
