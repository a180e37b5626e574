"""What each source is worth where items live for hours, for a day, or where people come back.

Three made-up streams of 12,000 events, after what is known of such domains; every probability is
below, none was fitted to an outcome. `news`: an article lives for some hours, readers follow its
links and what everybody reads; hardly anything that the base held is still read. `deals`: ten items
of a shop are on offer each day and are looked at by all, beside what a visit is about. `places`:
people return to a few places, each at its hours, and now and then try one that is near.

Told are Recall@20 of the whole mixture, of each source alone, and of the mixture without those of
which recorded streams say little, over three periods of 50 micro-windows each, weights and mixer
learned ten times in a period; the ratio is to the whole. Some ten minutes of one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch

from benchmarks.figures import Figure
from models.config import LearningConfig
from models.evaluation.arm import ArmKind, ArmSetup
from models.evaluation.mixture import Mixture, SourceAlone
from models.evaluation.protocol import evaluate
from models.evaluation.report import headline
from models.evaluation.stream import Columns, Stream
from models.sources import SOURCES

EVENTS, PERIODS, STRETCHES, UPDATES = 12_000, 3, 50, 10
SHARE = 0.5
"""Of the users, asked."""
DOUBTED = ("rules", "own", "trending", "fast-popular", "latest")
"""Sources that the mixture is asked without."""
CONFIG = LearningConfig(embedding_dim=32, max_history=10, epochs=2)
MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0

Event = tuple[float, str, str]
"""Seconds, user, item."""


def run() -> Iterator[Figure]:
    """Every domain by itself."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, made in DOMAINS.items():
            yield from _figures(name, stream(made, STRETCHES))
    finally:
        torch.set_num_threads(threads)


def news(random: np.random.Generator) -> Iterator[Event]:
    """Readers of three to six articles, a minute apart; an article comes every three minutes."""
    every_s, life_s = 3 * MINUTE_S, 1.5 * HOUR_S
    number = round(DAY_S / every_s)
    appeal = random.lognormal(0.0, 1.0, number)
    category = random.integers(0, 10, number)
    links = [random.integers(max(0, at - 40), at + 1, 3) for at in range(number)]
    reads = 4.5
    for reader in range(round(EVENTS / reads)):
        at_s = 2 * HOUR_S + reader * (DAY_S - 2 * HOUR_S) * reads / EVENTS
        there = np.arange(min(int(at_s / every_s), number - 1) + 1)
        drawn = appeal[there] * np.exp2(-(at_s - there * every_s) / life_s)
        item = _draw(random, drawn)
        for step in range(random.integers(3, 7)):
            yield at_s + step * MINUTE_S, f"reader-{reader}", f"article-{item}"
            fate = random.random()
            if fate < 0.5:
                item = int(random.choice(links[item]))
            else:
                alike = category[there] == category[item] if fate < 0.8 else np.ones_like(there)
                item = _draw(random, drawn * alike)


def deals(random: np.random.Generator) -> Iterator[Event]:
    """Visits of three to six looks, at things of one kind in a hundred and at today's ten deals."""
    looks, days, kinds, size = 4.5, 20, 100, 15
    offered = random.integers(0, kinds * size, (days + 1, 10))
    for visit in range(round(EVENTS / looks)):
        at_s = visit * days * DAY_S * looks / EVENTS
        kind = random.integers(kinds)
        for step in range(random.integers(3, 7)):
            item = int(random.integers(size)) * kinds + int(kind)
            if random.random() < 0.4:
                item = int(random.choice(offered[int(at_s / DAY_S)]))
            yield at_s + step * MINUTE_S, f"visit-{visit}", f"thing-{item}"


def places(random: np.random.Generator) -> Iterator[Event]:
    """Three hundred people, each with three places for each third of the day, for 40 days."""
    people, districts, size, days = 300, 30, 50, 40
    home = random.integers(0, districts, people)
    own = random.integers(0, size, (people, 3, 3))
    for visit in range(EVENTS):
        at_s = visit * days * DAY_S / EVENTS
        person = int(random.integers(people))
        third = int(at_s % DAY_S // (8 * HOUR_S))
        place = int(own[person, third, random.integers(3)])
        if random.random() < 0.2:
            place = int(size * random.random() ** 2)
        yield at_s, f"person-{person}", f"place-{home[person]}-{place}"


DOMAINS: dict[str, Callable[[np.random.Generator], Iterator[Event]]] = {
    "news": news,
    "deals": deals,
    "places": places,
}


def _draw(random: np.random.Generator, weights: np.ndarray) -> int:
    return int(random.choice(len(weights), p=weights / weights.sum()))


def stream(made: Callable[[np.random.Generator], Iterator[Event]], stretches: int) -> Stream:
    """One of them, each period cut into so many stretches."""
    events = sorted(made(np.random.default_rng(0)))
    columns = Columns(
        user_ids=[user for _, user, _ in events],
        item_ids=[item for _, _, item in events],
        time_ms=[round(at_s * 1_000) for at_s, _, _ in events],
        weights=[1.0] * len(events),
        types=["click"] * len(events),
        periods=[None] * len(events),
    )
    return Stream(columns, num_periods=PERIODS, micro_windows=stretches)


def _figures(domain: str, asked: Stream) -> Iterator[Figure]:
    names = tuple(SOURCES)
    whole = recall(asked, Mixture, names)
    yield Figure(f"{domain}: all sources", whole, "recall")
    for name in names:
        alone = recall(asked, partial(SourceAlone, name), names)
        yield Figure(f"{domain}: {name} alone", alone, "recall", alone / whole, "all sources")
    for name in DOUBTED:
        without = recall(asked, Mixture, tuple(one for one in names if one != name))
        yield Figure(f"{domain}: without {name}", without, "recall", without / whole, "all sources")


def recall(
    asked: Stream,
    arm: Callable[[ArmSetup], object],
    sources: tuple[str, ...] = tuple(SOURCES),
    updates: int = UPDATES,
) -> float:
    """Recall@20 of an arm whose weights and mixer learn so often in a period."""
    setup = ArmSetup(config=CONFIG, sources=sources, weights_windows=updates)
    kind = ArmKind("asked", "the arm that is asked", arm)  # type: ignore[arg-type]
    done = evaluate(asked, [kind], setup, clock=lambda: 0.0, share=SHARE)
    return headline(done.runs["asked"], done.asked, "strict")
