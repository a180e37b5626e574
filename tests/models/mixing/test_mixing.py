"""What ranks a stream's candidates: the mixer, unless somebody alone has been better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.mixing.features import BY_SOURCE, names, place_of_rank
from models.mixing.hedge import MIXER, Experts
from models.mixing.mixer import Lesson, Mixer
from models.mixing.mixing import ENOUGH, LIST, Mixing
from tests.models.lessons import SOURCES, hits, lessons


def led_by(name: str) -> Mixing:
    """A mixer of loud weights; the experts hold by somebody."""
    mixing = Mixing.initial(SOURCES)
    loud = mixing.mixer.weights + 50.0 * torch.randn(
        len(mixing.mixer.weights), generator=torch.Generator().manual_seed(0)
    )
    experts = Experts.among(SOURCES).after([{name: 1.0}] * 50)
    return Mixing(replace(mixing.mixer, weights=loud), experts)


@pytest.mark.parametrize("leader", SOURCES)
def test_the_leaders_order_comes_first_and_the_mixers_below(leader: str) -> None:
    mixing = led_by(leader)
    (asked,) = lessons(0, 1)
    features = asked.features.copy()
    said = features[:, place_of_rank(SOURCES, leader)]
    said[said < 1 / 7.5] = 0.0  # it names seven of twelve
    scores = mixing.scores(features)
    by_mixer = mixing.mixer.scores(features)
    expected = sorted(range(len(said)), key=lambda at: (-said[at], -by_mixer[at]))
    assert np.argsort(-scores).tolist() == expected
    above_zero = np.exp(scores - scores.max())
    assert len(set(above_zero.tolist())) == len(said)


def test_where_the_mixer_leads_its_scores_are_the_answer() -> None:
    mixing = led_by(MIXER)
    (asked,) = lessons(0, 1)
    assert mixing.scores(asked.features).tolist() == mixing.mixer.scores(asked.features).tolist()


def test_what_is_learned_is_of_use_and_told() -> None:
    mixing, report = Mixing.initial(SOURCES).after(lessons(1, 600, {"second"}), seed=0)
    assert report.kept
    assert (report.lessons, report.judged_by) == (600, 120)
    assert report.after > report.before
    assert mixing.experts.leader == report.leader == "second"
    assert hits(mixing.mixer, lessons(2, 100, {"second"})) > hits(
        Mixer.initial(SOURCES), lessons(2, 100, {"second"})
    )
    assert report.as_dict()["speaks"] == mixing.mixer.speaks(
        [one for at, one in enumerate(lessons(1, 600, {"second"})) if at % 5 == 4]
    )


def test_a_mixer_that_does_worse_on_what_did_not_teach_it_is_refused() -> None:
    """Four of five lessons say one thing, and every fifth, which judges, another."""
    misleading = lessons(1, 600, {"second"})
    misleading[4::5] = lessons(2, 120, {"first"})
    before = Mixing.initial(SOURCES)
    before, _ = before.after(lessons(3, 300, {"first"}), seed=0)
    mixing, report = before.after(misleading, seed=0)
    assert not report.kept
    assert report.after < report.before
    assert mixing.mixer is before.mixer
    assert mixing.experts.questions == before.experts.questions + 600


def test_too_few_judge_nothing() -> None:
    few = 5 * ENOUGH - 5
    misleading = lessons(1, few, {"second"})
    misleading[4::5] = lessons(2, few // 5, {"first"})
    _, report = Mixing.initial(SOURCES).after(misleading, seed=0)
    assert report.kept
    assert Mixing.initial(SOURCES).after([], seed=0)[1].lessons == 0


def test_a_mixer_leads_as_soon_as_what_it_has_learned_is_better_than_anybody_alone() -> None:
    moment = names(SOURCES).index("length")
    by_turns = lessons(1, 300, {"second"}), lessons(2, 300, {"third"})
    for whose, ones in enumerate(by_turns):
        for one in ones:
            one.features[:, moment] = whose  # the moment says who will be right
    told = [one for pair in zip(*by_turns, strict=True) for one in pair]
    mixing, report = Mixing.initial(SOURCES).after(told, seed=0)

    assert report.before < 0.65 < 0.8 < report.after
    assert report.leader == MIXER
    assert mixing.experts.earned[0] > max(mixing.experts.earned[1:])


def test_gains_are_reciprocal_ranks_within_the_list() -> None:
    size = LIST + 5
    features = np.zeros((size, len(lessons(0, 1)[0].features[0])), dtype=np.float32)
    ranks = 1.0 / np.arange(1, size + 1)
    for source in SOURCES:
        features[:, place_of_rank(SOURCES, source)] = ranks
    features[:, place_of_rank(SOURCES, "third")] = 0.0
    for target, gain in [(0, 1.0), (LIST - 1, 1 / LIST), (LIST, 0.0)]:
        for told in (features, features.astype(np.float16)):
            one = Lesson(told, np.asarray([target, size - 1]))
            earned = Mixing.initial(SOURCES).after([one], seed=0)[0].experts.earned
            assert earned == pytest.approx([gain, gain, gain, 0.0, gain], rel=1e-3)


def test_it_goes_out_and_in_again() -> None:
    mixing, _ = Mixing.initial(SOURCES).after(lessons(1, 100, {"third"}), seed=0)
    loaded = Mixing.load(SOURCES, mixing.tensors())
    assert loaded.experts == mixing.experts
    more = lessons(2, 50)
    (one, first), (other, second) = (at.after(more, seed=1) for at in (mixing, loaded))
    assert first == second
    assert torch.equal(one.mixer.weights, other.mixer.weights)


def test_who_joins_is_not_heard_before_a_lesson_and_who_stays_is_as_before() -> None:
    mixing, _ = Mixing.initial(SOURCES).after(lessons(1, 400, {"third"}), seed=0)
    more = ("fifth", *SOURCES)
    wider = mixing.hearing(more)
    asked = lessons(7, 50, {"fifth"}, more)
    for one in asked:
        without = one.features[:, len(BY_SOURCE) :]
        assert wider.mixer.scores(one.features) == pytest.approx(
            mixing.mixer.scores(without), rel=1e-5, abs=1e-6
        )
    back = wider.hearing(SOURCES)
    assert all(torch.equal(part, mixing.tensors()[name]) for name, part in tensors_of(back))
    assert mixing.hearing(SOURCES) is mixing
    taught, _ = wider.after(lessons(8, 800, {"fifth"}, more), seed=0)
    assert hits(taught.mixer, asked) > 0.95 > hits(wider.mixer, asked)


def tensors_of(mixing: Mixing) -> list[tuple[str, torch.Tensor]]:
    """Those of the mixer, which nobody's joining has changed."""
    return sorted(mixing.mixer.tensors().items())


def test_experts_who_join_have_earned_nothing_and_may_lead_in_time() -> None:
    experts = Experts.among(SOURCES).after([{"second": 1.0}] * 300)
    joined = experts.hearing(("second", "fifth"))
    assert joined.names == (MIXER, "second", "fifth")
    assert joined.leader == "second"
    assert sum(joined.weights) == pytest.approx(1.0)
    assert joined.earned == (0.0, 300.0, 0.0)
    assert (joined.followed, joined.questions) == (experts.followed, 300)
    assert joined.after([{"fifth": 1.0}] * 900).leader == "fifth"
    assert experts.hearing(("first",)).leader == MIXER
