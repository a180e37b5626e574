"""Fast memories for tests of answers, as a replica mirrors them, of events that nobody sent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory, Observed
from models.vocabulary import Vocabulary
from service.serving.memory_feed import Mirror
from service.storage.hashing import user_key

Event = tuple[str, str, int]
"""User, item, Unix milliseconds."""


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
