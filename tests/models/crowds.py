"""Fast memories of made-up crowds, and what is asked of them."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterable, Sequence

import numpy as np

from models.content.features import Row
from models.content.neighbours import ContentIndex
from models.content.texts import Texts
from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory, Observed
from models.sources import Question
from models.vocabulary import Vocabulary

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


def asked(
    items: Iterable[int], times: Iterable[float] | None = None, user: int | None = None
) -> Question:
    """A history, a minute apart unless told, and what comes 30 seconds after it."""
    rows = np.asarray(list(items), dtype=np.int64)
    if times is None:
        times = [NOW_S - 60.0 * back for back in range(len(rows), 0, -1)]
    when = np.asarray(list(times), dtype=np.float64)
    return Question(rows, when, (when[-1] if len(when) else NOW_S) + 30.0, user)


def stroll(seed: int, size: int, items: int) -> Question:
    """A random history with repeats and baskets, somewhat past."""
    random = np.random.default_rng(seed)
    back = random.integers(0, 4, size) * 1_800.0 * random.random(size)
    times = (NOW_S - np.cumsum(back)[::-1]).astype(np.float64)
    return Question(random.integers(0, items, size), times, NOW_S + 7_200.0, 3)


def row_id(row: int) -> str:
    return f"item-{row}"


@functools.cache
def described(size: int, new: int = 40, taste: int = 20) -> Texts:
    """Every one of `size` rows, and `new` items that never happened, have words by chance, and one
    by their taste: `taste` items of one, then as many of the other. Items with fewer than 5 events
    are spoken for."""
    random = np.random.default_rng(size)
    items = Vocabulary(row_id(row) for row in range(size))
    index = ContentIndex.empty(60, size + new)
    rows = dict[str, Row]()
    for place, item in enumerate((*items.ids, *(f"new-{at}" for at in range(new)))):
        side = (place if place < size else place - size) // taste % 2
        words = np.sort(random.choice(np.arange(2 + side * 29, 31 + side * 29), 3, replace=False))
        columns = np.concatenate(([side], words)).astype(np.int32)
        values = np.concatenate(([1.0], 0.1 + random.random(3))).astype(np.float32)
        rows[item] = Row(columns, values / np.float32(np.linalg.norm(values)))
    return Texts.of(index.with_rows(rows), items, few=5.0)


def contents(memory: FastMemory) -> dict[str, bytes]:
    """All that a memory holds, to compare by; its caches aside."""
    kept = {name: part for name, part in vars(memory).items() if not name.startswith("_")}
    return {name: pickle.dumps(part) for name, part in kept.items()}
