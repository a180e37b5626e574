"""One history, two errands: what users of a side click is never what they buy. The answer is known.

Which of the two comes next is a coin's doing, so that no history tells it.
"""

from __future__ import annotations

import numpy as np

from models.interactions import Event
from tests.models.tastes import event

USERS, EVENTS, ITEMS = 30, 16, 12
WANTED = {"click": "C", "purchase": "P"}
"""The first letter of the items of each type."""


def errands(seed: int = 0) -> list[Event]:
    """Every user's events, user by user; items are named by errand, side and number."""
    coin, events = np.random.default_rng(seed), list[Event]()
    for user in range(USERS):
        for _ in range(EVENTS):
            kind = "purchase" if coin.random() < 0.5 else "click"
            item = f"{WANTED[kind]}{'AB'[user % 2]}{coin.integers(ITEMS)}"
            events.append(event(f"u{user}", item, len(events), type=kind))
    return events
