"""Drift detectors: alarms soon after a change, none without, and nothing but the scores counts."""

from __future__ import annotations

import numpy as np
import pytest

from models.continual.drift import Adwin, Detector, PageHinkley, Score, spread

DETECTORS: dict[str, Detector] = {"adwin": Adwin(), "page-hinkley": PageHinkley()}
CHANGE, BEFORE = 60, 0.3
TARGETS = 400
"""Of a window; recall of so many varies by about .023 around .3."""


def scores(recalls: np.ndarray, seed: int) -> list[Score]:
    """What would be measured where recall is truly `recalls`: hits among the targets."""
    hits = np.random.default_rng(seed).binomial(TARGETS, np.clip(recalls, 0.0, 1.0))
    return [Score(float(hit) / TARGETS, TARGETS) for hit in hits]


def alarms(detector: Detector, told: list[Score]) -> list[int]:
    """The windows that raise an alarm, asked as the learner asks: one after the other."""
    found, since = [], 0
    for at in range(len(told)):
        if detector.alarm(told[since : at + 1]) is not None:
            found.append(at)
            since = at + 1
    return found


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("seed", range(3))
class TestDetectors:
    def test_an_abrupt_fall_is_noticed_within_ten_windows(self, name: str, seed: int) -> None:
        recalls = np.full(CHANGE + 10, BEFORE)
        recalls[CHANGE:] = BEFORE - 0.1
        found = alarms(DETECTORS[name], scores(recalls, seed))
        assert len(found) == 1
        assert CHANGE <= found[0] < CHANGE + 10

    def test_a_gradual_fall_is_noticed_before_it_ends(self, name: str, seed: int) -> None:
        falling = np.linspace(BEFORE, BEFORE - 0.15, 60)
        found = alarms(DETECTORS[name], scores(np.r_[np.full(CHANGE, BEFORE), falling], seed))
        assert found
        assert CHANGE < found[0] < CHANGE + 50

    def test_a_steady_stream_raises_none_in_120_windows(self, name: str, seed: int) -> None:
        assert alarms(DETECTORS[name], scores(np.full(120, BEFORE), seed)) == []

    def test_a_rise_is_no_alarm(self, name: str, seed: int) -> None:
        rising = np.r_[np.linspace(0.0, BEFORE, 40), np.full(60, BEFORE)]
        assert alarms(DETECTORS[name], scores(rising, seed)) == []

    def test_the_same_scores_give_the_same_alarm_again(self, name: str, seed: int) -> None:
        recalls = np.r_[np.full(CHANGE, BEFORE), np.full(20, 0.1)]
        told = scores(recalls, seed)
        (first, *_) = alarms(DETECTORS[name], told)
        heard = [DETECTORS[name].alarm(told[: first + 1]) for _ in range(2)]
        assert heard[0] == heard[1]
        assert heard[0] is not None
        assert heard[0].before == pytest.approx(BEFORE, abs=0.05)
        assert heard[0].after < heard[0].before


@pytest.mark.parametrize("name", DETECTORS)
def test_no_score_and_a_first_score_raise_nothing(name: str) -> None:
    assert DETECTORS[name].alarm([]) is None
    assert DETECTORS[name].alarm([Score(0.5, 10)]) is None


def test_page_hinkley_is_its_formula() -> None:
    """Σ (x̄ − x − δ), less its lowest so far, over λ: with a known mean, the window is counted."""
    told = [Score(0.5, 100)] * 50 + [Score(0.0, 100)] * 4
    detector = PageHinkley(tolerance=0.0, threshold=1.2, min_windows=5)
    fallen = [0.5 * 50 / (50 + n) for n in range(1, 5)]  # what the running mean is above 0
    first = next(n for n in range(1, 5) if sum(fallen[:n]) > 1.2)
    assert alarms(detector, told) == [50 + first - 1]
    alarm = detector.alarm(told[: 50 + first])
    assert alarm is not None
    assert alarm.before == pytest.approx(0.5 * 50 / (50 + first - 1))
    assert alarm.after == 0.0


@pytest.mark.parametrize(("share", "count"), [(0.0, 7), (0.3, 10), (0.5, 1), (1.0, 100), (0.2, 0)])
def test_hits_are_spread_evenly_and_counted_right(share: float, count: int) -> None:
    hits = spread(share, count)
    assert len(hits) == count
    assert hits.sum() == round(share * count)
    sums = np.cumsum(hits)
    assert np.all(np.abs(sums - share * np.arange(1, count + 1)) <= 1.0)


def test_a_window_of_few_targets_counts_less_than_one_of_many() -> None:
    few = [Score(0.5, 4)] * 20 + [Score(0.0, 4)] * 4
    many = [Score(0.5, 100)] * 20 + [Score(0.0, 100)] * 4
    assert alarms(Adwin(), few) == []
    assert alarms(Adwin(), many)
