"""What makes a window's learning random, settled before it begins: its seed and its draw.

Both are recorded with the window, so that a redo after a crash learns the same thing. The seed is
also a function of where the window stands, so that two runs over the same log agree on it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from models.config import LearningConfig
from models.interactions import Event
from service.domain.interactions import Position

_SEED_BITS = 63
"""What a signed 64-bit column holds."""


def window_seed(seed: int, start: Position, parent: int, purpose: str = "window") -> int:
    """The seed of the window after `start` learned from version `parent`: [0, 2^63)."""
    text = f"{purpose}:{seed}:{start}:{parent}".encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - _SEED_BITS)


def draw_size(config: LearningConfig, events: Sequence[Event]) -> int:
    """How many old samples go with `events`: `replay_ratio` per new sample (a user's stretch)."""
    if "replay" not in config.methods:
        return 0
    users = {event.user_key for event in events if event.weight > 0}
    return math.ceil(config.replay_ratio * len(users))
