"""The hour of the day, as the mixer is told of it: people go to some places in the morning."""

from __future__ import annotations

import numpy as np

from models.memory.config import HOUR_S
from models.memory.memory import FastMemory
from models.mixing.features import Features, describe, names
from models.mixing.mixer import Lesson, Mixer
from models.sources import Question
from models.sources.question import NOTHING
from tests.models.crowds import SMALL
from tests.models.lessons import hits

SAID = {"rules": NOTHING}
"""By one source, which has nothing to say."""
BEST = {"rules": NOTHING.items}
HOUR = names(tuple(SAID)).index("hour")
MORNING, EVENING = 0, 1
DAY_S = 24 * HOUR_S


def moment(random: np.random.Generator, day: int, when: int) -> float:
    """Somewhen in a morning or an evening."""
    return day * DAY_S + (8.0 + 12.0 * when + random.normal(0.0, 0.5)) * HOUR_S


def lesson(random: np.random.Generator) -> Lesson:
    """One was taken on four mornings, one on four evenings, in any order; now it is one of both."""
    memory = FastMemory(SMALL)
    memory.grow(2)
    items = random.permutation([MORNING, EVENING] * 4)
    times = np.asarray([moment(random, day, int(when)) for day, when in enumerate(items)])
    now = int(random.integers(2))
    question = Question(items, times, moment(random, 9, now))
    told = describe(memory, question, np.asarray([MORNING, EVENING]), SAID, BEST)
    return Lesson(told, np.asarray([now]))


def deaf(features: Features) -> Features:
    found = features.copy()
    found[:, HOUR] = 0.0
    return found


def test_of_two_taken_equally_often_the_one_of_this_hour_comes_first() -> None:
    """Which nothing else could tell."""
    random, untaught = np.random.default_rng(3), Mixer.initial(tuple(SAID))
    told, asked = ([lesson(random) for _ in range(size)] for size in (400, 200))
    assert hits(untaught.trained(told, seed=0), asked) > 0.98
    silent, unheard = (
        [Lesson(deaf(one.features.astype(np.float32)), one.targets) for one in part]
        for part in (told, asked)
    )
    assert hits(untaught.trained(silent, seed=0), unheard) < 0.75
