"""Figures of parts of the questions: what is new, what came back, and what had been seen how often.

All periods are pooled. An item is counted by the events it had been learned from when the model was
frozen, a user by the events of the live history before the question: how soon an arm is good on
either is what a meta-learned start is for.

A question is always asked of the model of the period before. With `--window N` a period is learned
in several updates, and its questions are none the less asked before the first of them: the counts
of items are those of the period's start, or with `--micro-windows` of the stretch's. They are of
what may be learned, as recorded: a learner that holds users out until the next window has met less,
and `--noise` may have spoilt some of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.questions import Asked
from models.ranking.metrics import means

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

K = 20
BUCKETS = {"0": 0, "1": 1, "2": 2, "3-5": 5, "6-10": 10, "more": None}
"""By name, the highest number of events in each; none above the last."""


def slices(
    ranks: Sequence[Floats], asked: Sequence[Asked], masks: Sequence[Mask]
) -> dict[str, dict[str, Any]]:
    """Recall@20, MRR@20 and the number of targets of each part.

    Args:
        ranks: [targets] of each period.
        asked: the same targets, and what is known of them.
        masks: which of them count.
    """
    counted = np.concatenate(masks)
    found = np.concatenate(ranks)[counted]
    known, new_user, returning, item_events, user_events = (
        np.concatenate([getattr(part, name) for part in asked])[counted]
        for name in ("known", "new_user", "returning", "item_events", "user_events")
    )
    return {
        "new_items": _figures(found[~known]),
        "new_users": _figures(found[new_user]),
        "returning_items": _figures(found[returning]),
        "item_events": _by_count(found, item_events),
        "user_events": _by_count(found, user_events),
    }


def _by_count(ranks: Floats, events: Ints) -> dict[str, dict[str, float]]:
    edges = [highest for highest in BUCKETS.values() if highest is not None]
    places = np.searchsorted(edges, events)
    return {name: _figures(ranks[places == place]) for place, name in enumerate(BUCKETS)}


def _figures(ranks: Floats) -> dict[str, float]:
    figures: Mapping[str, float] = means(ranks, K)
    return {name: figures[name] for name in (f"recall@{K}", f"mrr@{K}", "n")}
