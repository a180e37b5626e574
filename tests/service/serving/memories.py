"""Fast memories for tests of answers, as a replica mirrors them, of events that nobody sent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory, Observed
from models.mixing.blend import Blend
from models.sources import SOURCES
from models.vocabulary import Vocabulary
from service.serving.memory_feed import Mirror
from service.serving.mixture import Mixture
from service.storage.clock import now_ms
from service.storage.hashing import user_key

Event = tuple[str, str, int]
"""User, item, Unix milliseconds."""
NOW = now_ms()
"""Of the whole session."""


def key_of(user_id: str) -> int:
    """By which these memories know a user."""
    return user_key(b"tests" * 4, user_id)


def mirror_of(events: Sequence[Event] = ()) -> Mirror:
    """A memory that has seen `events`, and nothing else."""
    mirror = Mirror(FastMemory(MemoryConfig(width=50, sessions=60)), Vocabulary())
    remember(mirror, events)
    return mirror


def remember(mirror: Mirror, events: Sequence[Event]) -> None:
    """Show a memory positive events of weight 1, in the order of the log."""
    if not events:
        return
    mirror.memory.observe(
        Observed(
            np.array([key_of(user) for user, _, _ in events], dtype=np.uint64),
            mirror.items.grow(item for _, item, _ in events),
            np.array([ms / 1_000 for _, _, ms in events]),
            np.ones(len(events)),
        )
    )


def sessions(*baskets: str, since_ms: int = NOW - 600_000) -> list[Event]:
    """One user for each, who took its items in this order, one a second."""
    return [
        (f"s{number}", item, since_ms + 1_000 * place)
        for number, basket in enumerate(baskets)
        for place, item in enumerate(basket.split())
    ]


def over(mirror: Mirror, *names: str, top: int = 100) -> Mixture:
    """What answers from this memory, asked through these sources."""
    return Mixture(lambda: mirror, Blend.of(names or tuple(SOURCES), top))
