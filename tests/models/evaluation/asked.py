"""Targets of which nothing matters but whose they are."""

from __future__ import annotations

import numpy as np

from models.evaluation.questions import Asked


def asked_of(users: list[int]) -> Asked:
    size = len(users)
    some = np.zeros(size, dtype=bool)
    return Asked(
        question=np.arange(size),
        user=np.asarray(users, dtype=np.int64),
        target=np.zeros(size, dtype=np.int64),
        known=some,
        ader=some,
        new_user=some,
        returning=some,
        item_events=np.zeros(size, dtype=np.int64),
        user_events=np.zeros(size, dtype=np.int64),
    )
