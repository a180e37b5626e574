"""Lessons of answers: what was taken from a list against what was passed over in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from models.mixing.features import Features, names, place_of
from models.mixing.mixer import Lesson, Mixer
from models.mixing.mixing import Mixing
from models.mixing.recorded import Recorded
from tests.models.lessons import SOURCES, lessons

CHOICE, LISTED = 40, 10
GOOD, BAD = SOURCES[0], SOURCES[2]


def question(random: np.random.Generator) -> tuple[Features, np.ndarray]:
    """Candidates of which every source says something else, and how likely each is taken once it
    is looked at: the more the good source and the less the bad one speaks for it."""
    features = np.zeros((CHOICE, len(names(SOURCES))), dtype=np.float32)
    said = dict(zip(SOURCES, random.random((len(SOURCES), CHOICE)), strict=True))
    for source, scores in said.items():
        at = place_of(SOURCES, source)
        features[:, at] = scores
        features[np.argsort(-scores), at + 2] = 1.0 / np.arange(1, CHOICE + 1)
    return features, 1.0 / (1.0 + np.exp(-8.0 * (said[GOOD] - 0.5 * said[BAD] - 0.4)))


def window(mixer: Mixer, seed: int, *, answers: bool, size: int = 120) -> list[Lesson]:
    """What came when the mixer's ten best were shown: eyes go down the list and stop at a click,
    or somewhere. Beside all candidates, with `answers`, it is held against what was seen."""
    random, found, taken = np.random.default_rng(seed), list[Lesson](), 0
    while taken < size:
        features, likely = question(random)
        shown = np.argsort(-mixer.scores(features))[:LISTED]
        looked = int(random.geometric(0.25))
        clicks = random.random(LISTED) < likely[shown]
        if not clicks[:looked].any():
            continue
        place, taken = int(np.argmax(clicks)), taken + 1
        found.append(Lesson(features, shown[place : place + 1]))
        if answers:
            found.append(Lesson(features[shown[: place + 2]], np.asarray([place]), answer=True))
    return found


def liked(mixer: Mixer) -> float:
    """How likely what it shows is taken, as a share of what it could show."""
    random, found = np.random.default_rng(9), []
    for _ in range(200):
        features, likely = question(random)
        best = np.argsort(-mixer.scores(features))[:LISTED]
        found.append(likely[best].mean() / np.sort(likely)[-LISTED:].mean())
    return float(np.mean(found))


def after_windows(*, answers: bool) -> float:
    mixing = Mixing.initial(SOURCES)
    for seed in range(3):
        mixing, _ = mixing.after(window(mixing.mixer, seed, answers=answers), seed=seed)
    return liked(mixing.mixer)


def test_what_was_shown_and_not_taken_corrects_the_mixer_that_showed_it() -> None:
    """Of clicks alone it learns as well that what it put first is what people want."""
    assert after_windows(answers=True) > after_windows(answers=False) + 0.08


def left_out(mixer: Mixer, seed: int, *, told: bool, size: int = 120) -> list[Lesson]:
    """What came where the client leaves out most of what the good source speaks for, and says what
    it has shown, or does not."""
    random, found, taken = np.random.default_rng(seed), list[Lesson](), 0
    while taken < size:
        features, likely = question(random)
        given = np.argsort(-mixer.scores(features))[:LISTED]
        praised = features[given, place_of(SOURCES, GOOD)] > 0.6
        seen = ~(praised & (random.random(LISTED) < 0.8))
        clicks = seen & (random.random(LISTED) < likely[given])
        if not clicks.any():
            continue
        place, taken = int(np.argmax(clicks)), taken + 1
        found.append(Lesson(features, given[place : place + 1]))
        beside = answer_of(features[given], place)
        seen[place + 2 :] = False
        cut = beside.as_seen(np.asarray(beside.items)[seen].tolist() if told else None)
        if cut is not None:
            found.append(Lesson(cut.features, np.asarray([cut.target]), answer=True))
    return found


def answer_of(features: Features, place: int) -> Recorded:
    """What was taken from a list, as it is written down."""
    items = tuple(map(str, range(len(features))))
    looked, half = min(place + 2, len(items)), features.astype(np.float16)
    return Recorded(SOURCES, "click", (), items, half, place, "an answer", looked)


def test_who_says_what_was_seen_is_not_taught_that_the_rest_was_refused() -> None:
    liked_by = dict[bool, float]()
    for told in (True, False):
        mixing = Mixing.initial(SOURCES)
        for seed in range(3):
            mixing, _ = mixing.after(left_out(mixing.mixer, seed, told=told), seed=seed)
        liked_by[told] = liked(mixing.mixer)
    assert liked_by[True] > liked_by[False] + 0.04


def test_of_an_answer_what_was_seen_stays_in_its_order_with_what_was_taken() -> None:
    lesson = answer_of(np.arange(12.0, dtype=np.float32).reshape(6, 2), 2)
    guessed, told = lesson.as_seen(None), lesson.as_seen(["5", "1", "elsewhere"])
    assert guessed is not None
    assert told is not None
    assert (guessed.items, guessed.target) == (("0", "1", "2", "3"), 2)
    assert (told.items, told.target, told.looked) == (("1", "2", "5"), 1, 3)
    assert told.features[:, 0].tolist() == [2.0, 4.0, 10.0]
    assert lesson.as_seen(["2"]) is None
    assert lesson.as_seen([]) is None


def test_they_teach_and_judge_nobody() -> None:
    whole = lessons(1, 600, {"second"})
    beside = [replace(one, answer=True) for one in lessons(2, 600, {"first"})]
    both = [one for pair in zip(whole, beside, strict=True) for one in pair]
    before = Mixing.initial(SOURCES)
    (alone, said), (taught, told) = (before.after(each, seed=0) for each in (whole, both))
    assert (said.answers, told.answers, told.lessons) == (0, 600, 1_200)
    assert taught.experts.earned[1:] == alone.experts.earned[1:]
    assert taught.experts.questions == alone.experts.questions
    assert told.judged_by == said.judged_by
    assert told.before == said.before
    assert not torch.equal(taught.mixer.weights, alone.mixer.weights)


def test_the_answer_of_a_lesson_that_judges_does_not_teach() -> None:
    whole = lessons(1, 10)
    silent = [*whole[:5], replace(whole[4], answer=True), *whole[5:]]
    heard = [*whole[:4], replace(whole[3], answer=True), *whole[4:]]
    before = Mixing.initial(SOURCES)
    alone, with_judge, with_taught = (
        before.after(each, seed=0)[0].mixer.weights for each in (whole, silent, heard)
    )
    assert torch.equal(alone, with_judge)
    assert not torch.equal(alone, with_taught)
