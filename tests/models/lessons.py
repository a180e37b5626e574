"""Made-up lessons for the mixer, of which it is known who was right."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from models.mixing.features import BY_SOURCE, names
from models.mixing.mixer import Lesson, Mixer

SOURCES = ("first", "second", "third", "fourth")
CANDIDATES = 12


def lesson(
    random: np.random.Generator, right: Collection[str] = (), sources: Sequence[str] = SOURCES
) -> Lesson:
    """Every source ranks the candidates by chance; those that are right have what came first."""
    target = int(random.integers(CANDIDATES))
    features = 0.2 * random.random((CANDIDATES, len(names(sources))))
    for at, source in enumerate(sources):
        order = random.permutation(CANDIDATES)
        if source in right:
            order = np.concatenate(([target], order[order != target]))
        block = features[:, len(BY_SOURCE) * at : len(BY_SOURCE) * (at + 1)]
        ranks = np.arange(1, CANDIDATES + 1)
        block[order] = np.stack((1.0 - ranks / 20.0, 1.0 - ranks / 30.0, 1.0 / ranks), axis=1)
    return Lesson(features.astype(np.float32), np.asarray([target]))


def lessons(
    seed: int, size: int, right: Collection[str] = (), sources: Sequence[str] = SOURCES
) -> list[Lesson]:
    random = np.random.default_rng(seed)
    return [lesson(random, right, sources) for _ in range(size)]


def hits(mixer: Mixer, asked: Sequence[Lesson]) -> float:
    """Share of the lessons in which the mixer puts first what came."""
    return float(np.mean([np.argmax(mixer.scores(one.features)) in one.targets for one in asked]))
