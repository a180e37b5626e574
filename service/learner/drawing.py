"""What makes a window's learning random, settled before it begins: its seed and its draw.

Both are recorded with the window, so that a redo after a crash learns the same thing. The seed is
also a function of where the window stands, so that two runs over the same log agree on it.
"""

from __future__ import annotations

import hashlib

from service.domain.interactions import Position

_SEED_BITS = 63
"""What a signed 64-bit column holds."""


def window_seed(seed: int, start: Position, parent: int, purpose: str = "window") -> int:
    """The seed of the window after `start` learned from version `parent`: [0, 2^63)."""
    text = f"{purpose}:{seed}:{start}:{parent}".encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - _SEED_BITS)
