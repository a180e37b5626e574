"""Which history items spoke most for a recommendation: those whose absence costs it most."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from service.domain.recommendations import DEFAULT_OBJECTIVE
from service.serving.content_newcomers import NOBODY, Newcomers
from service.serving.model import ServingModel

_MAX_REASONS = 3


def explain(
    model: ServingModel,
    history: Sequence[str],
    user_id: str | None,
    item_ids: Sequence[str],
    objective: str = DEFAULT_OBJECTIVE,
    newcomers: Newcomers = NOBODY,
) -> list[tuple[str, ...]]:
    """For each of `item_ids`, up to three history items, strongest first.

    The history is encoded once as it is and once without each distinct item; what a score loses by
    an item's absence is that item's share in it. An item whose absence costs nothing is not named.

    Args:
        model: the version that ranked `item_ids`.
        history: item ids, oldest first.
        user_id: the user, where there is one.
        item_ids: items of the model, or newcomers to it.
        objective: the event type that they were ranked for.
        newcomers: items that the model has no row for.
    """
    known = [item for item in history if item in model.items][-model.max_history :]
    distinct = list(dict.fromkeys(known))
    if not distinct or not item_ids:
        return [() for _ in item_ids]
    without = [[item for item in known if item != left_out] for left_out in distinct]
    rows = [[model.items.row(item) for item in items] for items in [known, *without]]
    user_row = model.users.row(user_id) if user_id is not None else -1
    with torch.inference_mode():
        queries = model.encode(rows, [user_row] * len(rows), model.heads([objective] * len(rows)))
        scores = queries @ newcomers.rows(model.items, model.vectors, item_ids).T
    lost = (scores[0] - scores[1:]).T.tolist()
    return [_strongest(distinct, losses) for losses in lost]


def _strongest(items: Sequence[str], losses: Sequence[float]) -> tuple[str, ...]:
    ranked = sorted(zip(losses, items, strict=True), key=lambda pair: -pair[0])
    return tuple(item for loss, item in ranked[:_MAX_REASONS] if loss > 0)
