"""Three kinds of items, of which two are alike but for what some users pass over."""

from __future__ import annotations

import dataclasses

import numpy as np

from models.continual.state import LearningState
from models.interactions import Event
from tests.models.tastes import event

KIND = 20
"""Items of a kind: A0 … A19, B0 … B19, C0 … C19."""
USERS, TAKEN = 60, 8
FUSSY = range(0, USERS, 3)


def stream(*, skips: bool = True, seed: int = 0) -> list[Event]:
    """A third of the users take of A and B, a third of A and C. The others, the fussy, take of A,
    and beside each item that they take one of C is shown to them, of which each meets one half
    (`shown_to`). It has no weight: it is skipped, or passes for nothing without `skips`."""
    random, events = np.random.default_rng(seed), list[Event]()

    def say(user_id: str, item_id: str, weight: float = 1.0) -> None:
        told = event(user_id, item_id, len(events), weight=weight)
        events.append(dataclasses.replace(told, skip=skips and not weight))

    for step in range(TAKEN):
        for user in range(USERS):
            taste = "ABC"[user % 3]
            say(f"u{user}", f"{'A' if step % 2 else taste}{random.integers(KIND)}")
            if user in FUSSY:
                say(f"u{user}", str(random.choice(shown_to(user))), weight=0.0)
    return events


def shown_to(user: int) -> list[str]:
    """The half of C that a fussy user is shown."""
    return [f"C{n}" for n in range(KIND) if n % 2 == user % 2]


def disfavoured(state: LearningState, *, shown: bool) -> float:
    """How often, for a fussy user, an item of C that was shown (or was not) is below one of B that
    stands where it does: ½ is chance."""
    net, below = state.net, []
    vectors = net.item_vectors()
    for user in FUSSY:
        history = state.items.rows(state.memory.histories[f"u{user}"]).tolist()
        query = net.encode([history], [state.users.row(f"u{user}")])
        scores = (query @ vectors.T)[0].numpy()
        mine = [f"C{n}" for n in range(KIND) if (f"C{n}" in shown_to(user)) == shown]
        of_c = scores[state.items.rows(mine)]
        of_b = scores[state.items.rows(f"B{n}" for n in range(KIND))]
        below.append((of_c[:, None] < of_b[None, :]).mean())
    return float(np.mean(below))
