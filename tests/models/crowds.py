"""Fast memories of made-up crowds, and what is asked of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence

import numpy as np

from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory, Observed
from models.sources import Question

Meeting = tuple[int, int, float]
"""User, item and time in seconds."""

NOW_S = 1_700_000_000.0
SMALL = MemoryConfig(
    max_items=10_000, width=60, sessions=500, session_length=30, sessions_per_item=100
)


def observed(meetings: Sequence[Meeting], weights: Sequence[float] | None = None) -> Observed:
    users, items, times = zip(*meetings, strict=True)
    return Observed(
        np.asarray(users, dtype=np.uint64),
        np.asarray(items, dtype=np.int64),
        np.asarray(times, dtype=np.float64),
        np.ones(len(users)) if weights is None else np.asarray(weights, dtype=np.float64),
    )


def remembering(
    meetings: Sequence[Meeting],
    config: MemoryConfig = SMALL,
    weights: Sequence[float] | None = None,
    at_once: int = 200,
) -> FastMemory:
    """A memory that was shown the meetings, some at once."""
    memory = FastMemory(config)
    for start in range(0, len(meetings), at_once):
        stop = start + at_once
        memory.observe(
            observed(meetings[start:stop], None if weights is None else weights[start:stop])
        )
    return memory


def crowd(
    seed: int,
    *,
    items: int,
    users: int = 60,
    events: int = 900,
    span_s: float = 40 * 86_400.0,
    config: MemoryConfig = SMALL,
) -> FastMemory:
    """Anybody meets anything; now and then two things at once. No two scores are the same."""
    random = np.random.default_rng(seed)
    times = NOW_S - span_s * np.sort(random.random(events))[::-1]
    told = list[Meeting]()
    for at, user in enumerate(random.integers(0, users, events).tolist()):
        item = int(random.integers(0, items))
        told.append((user, item, float(times[at])))
        if random.random() < 0.2:
            told.append((user, int(random.integers(0, items)), float(times[at])))
    told.append((users, items - 1, NOW_S))
    return remembering(told, config, weights=(0.5 + random.random(len(told))).tolist())


def asked(items: Iterable[int], times: Iterable[float] | None = None, **given: int) -> Question:
    """A history, a minute apart unless told, and what comes 30 seconds after it."""
    rows = np.asarray(list(items), dtype=np.int64)
    if times is None:
        times = [NOW_S - 60.0 * back for back in range(len(rows), 0, -1)]
    when = np.asarray(list(times), dtype=np.float64)
    return Question(rows, when, (when[-1] if len(when) else NOW_S) + 30.0, **given)


def stroll(seed: int, size: int, items: int) -> Question:
    """A random history with repeats and baskets, somewhat past."""
    random = np.random.default_rng(seed)
    back = random.integers(0, 4, size) * 1_800.0 * random.random(size)
    times = (NOW_S - np.cumsum(back)[::-1]).astype(np.float64)
    return Question(random.integers(0, items, size), times, NOW_S + 7_200.0, 3)


def contents(memory: FastMemory) -> dict[str, bytes]:
    """All that a memory holds, to compare by; its caches aside."""
    kept = {name: part for name, part in vars(memory).items() if not name.startswith("_")}
    return {name: pickle.dumps(part) for name, part in kept.items()}
