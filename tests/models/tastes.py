"""Two tastes that never mix: users of one side meet its thirty items alone. The answer is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event

USERS, EVENTS, ITEMS = 40, 12, 30


def key(text: str) -> int:
    """64 bits that look random."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def event(user_id: str, item_id: str, n: int, *, weight: float = 1.0, type: str = "click") -> Event:
    """The n-th event of a stream."""
    return Event(user_id, item_id, type, weight, 1_000 * n, key(f"{user_id}:{n}"), key(user_id))


def side_of(user: int, flipped: bool) -> str:
    return "AB"[(user + flipped) % 2]


def checkerboard(*, flipped: bool = False, first: int = 0) -> list[Event]:
    """Every user's events, user by user; flipped, each meets the other side's items."""
    events: list[Event] = []
    for user in range(USERS):
        for step in range(EVENTS):
            item = f"{side_of(user, flipped)}{(user // 2 + step * 7) % ITEMS}"
            events.append(event(f"u{user}", item, first + len(events)))
    return events


def windows(events: Sequence[Event], size: int = 200) -> list[Sequence[Event]]:
    return [events[at : at + size] for at in range(0, len(events), size)]


def learned(state: LearningState, events: Sequence[Event], size: int = 200) -> LearningState:
    """The state after all events, window by window, without replay."""
    for number, window in enumerate(windows(events, size)):
        state = learn_window(state, window, seed=state.updates + number, draw=()).state
    return state


def purity(state: LearningState, side: str, depth: int = 5) -> float:
    """Share of the best unseen items of every user who ended on `side` that are of that side."""
    vectors, hits, total = state.net.item_vectors(), 0, 0
    for user_id in state.memory.histories.users():
        history = state.memory.histories[user_id]
        if history[-1][0] != side:
            continue
        rows = state.items.rows(history).tolist()
        query = state.net.encode([rows], [state.users.row(user_id)])
        scores = (query @ vectors.T)[0]
        scores[torch.tensor(rows)] = -torch.inf
        best = scores.topk(depth).indices.tolist()
        hits += sum(state.items.id(row)[0] == side for row in best)
        total += depth
    return hits / total
