"""What an alarm about drift is worth: a stream whose habits change at once, half-way.

Every item has the items that come after it; half-way each gets others, and nothing that was learned
of transitions holds any more. A learner goes on in windows as the service does, a detector watches
its prequential recall, and for ten windows an alarm is answered: by a higher learning rate, by
shorter windows, by both. Told are the windows until the alarm, false alarms before the change
(which are counted and not answered), and the mean recall over the events after it, as a ratio to
going on unmoved. Some six minutes of one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.figures import Figure
from models.config import LearningConfig
from models.continual.drift import Adwin, Detector, PageHinkley, Score
from models.continual.prequential import prequential
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from service.learner.drift import CALM, Reaction

ITEMS, NEXT, STEPS = 100, 5, 10
WINDOW, BEFORE, AFTER, ANSWERED = 250, 16, 12, 10
SEEDS = (0, 1, 2)
DETECTORS: dict[str, Detector] = {"adwin": Adwin(), "page-hinkley": PageHinkley()}
REACTIONS = {
    "rate × 2": Reaction(rate=2.0),
    "rate × 4": Reaction(rate=4.0),
    "interval × 0.5": Reaction(interval=0.5),
    "interval × 0.5, rate × 2": Reaction(interval=0.5, rate=2.0),
}
CONFIG = LearningConfig(
    embedding_dim=32, methods=("online-ewc",), probe_share=0.0, holdout_share=0.0, max_history=10
)


@dataclass(frozen=True, slots=True)
class Settled:
    """A stream, and the learner that has come to its change."""

    events: list[Event]
    state: LearningState
    scores: list[Score]


@dataclass(frozen=True, slots=True)
class Course:
    """How a learner went on behind the change."""

    recall: float
    """Mean over the events after it."""
    scores: list[Score] = field(default_factory=list)
    """Of its windows."""


def run() -> Iterator[Figure]:
    """Both detectors, each reaction alone and both together, three streams."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        settled = [_settled(_stream(seed)) for seed in SEEDS]
        unmoved = [_course(one, None, CALM) for one in settled]
        yield Figure("no reaction", _recall(unmoved), "recall")
        for name, detector in DETECTORS.items():
            false = [_false_alarms(detector, one.scores) for one in settled]
            yield Figure(f"{name}: false alarms before", float(np.mean(false)), "per stream")
            pairs = zip(settled, unmoved, strict=True)
            found = [_delay(detector, one.scores, still.scores) for one, still in pairs]
            delays = [delay for delay in found if delay is not None]
            yield Figure(f"{name}: streams with an alarm", len(delays), "streams")
            yield Figure(f"{name}: windows until it", float(np.mean(delays or np.nan)), "windows")
            for told, reaction in REACTIONS.items():
                moved = [_course(one, detector, reaction) for one in settled]
                ratio = _recall(moved) / _recall(unmoved)
                yield Figure(f"{name}, {told}", _recall(moved), "recall", ratio, "no reaction")
    finally:
        torch.set_num_threads(threads)


def _recall(courses: Sequence[Course]) -> float:
    return float(np.mean([course.recall for course in courses]))


def _stream(seed: int) -> list[Event]:
    """Walks of `STEPS` steps through a catalogue whose next ones change once."""
    random, events = np.random.default_rng(seed), list[Event]()
    for windows in (BEFORE, AFTER):
        follows = random.integers(0, ITEMS, (ITEMS, NEXT))
        for _ in range(windows * WINDOW // STEPS):
            user, item = len(events), int(random.integers(ITEMS))
            for _ in range(STEPS):
                n = len(events)
                events.append(Event(f"u{user}", f"i{item}", "click", 1.0, 1_000 * n, n, user))
                item = int(follows[item, random.integers(NEXT)])
    return events


def _settled(events: list[Event]) -> Settled:
    """Everything before the change, learned window by window."""
    state, scores = LearningState.initial(CONFIG), list[Score]()
    for at in range(0, BEFORE * WINDOW, WINDOW):
        window = events[at : at + WINDOW]
        scores.append(_score(state, window))
        state = learn_window(state, window, seed=at, draw=()).state
    return Settled(events, state, scores)


def _score(state: LearningState, window: Sequence[Event]) -> Score:
    told = prequential(state, window)
    return Score(told[f"recall@{CONFIG.top_k}"], told["n"])


def _false_alarms(detector: Detector, scores: Sequence[Score]) -> int:
    since, alarms = list[Score](), 0
    for one in scores:
        since.append(one)
        if detector.alarm(since) is not None:
            since, alarms = [], alarms + 1
    return alarms


def _delay(detector: Detector, before: Sequence[Score], behind: Sequence[Score]) -> int | None:
    """Windows behind the change until the first alarm, which no answer has moved yet."""
    for windows in range(1, len(behind) + 1):
        if detector.alarm([*before, *behind[:windows]]) is not None:
            return windows
    return None


def _course(settled: Settled, detector: Detector | None, reaction: Reaction) -> Course:
    """Score a window, ask the detector, learn the window; and so on to the end."""
    events, state, since = settled.events, settled.state, [*settled.scores]
    at = first = BEFORE * WINDOW
    hits, answered, scores = 0.0, 0, list[Score]()
    while at < len(events):
        now = reaction if answered > 0 else CALM
        window = events[at : at + round(WINDOW * now.interval)]
        scores.append(_score(state, window))
        since.append(scores[-1])
        hits += scores[-1].value * len(window)
        answered -= 1
        if detector is not None and detector.alarm(since) is not None:
            since, answered = [], ANSWERED
        state = learn_window(state, window, seed=at, draw=(), rate=now.rate).state
        at += len(window)
    return Course(hits / (len(events) - first), scores)
