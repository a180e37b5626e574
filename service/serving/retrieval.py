"""From queries to ranked items of one model: encode, search, filter; more is fetched until filled.

Runs in the ranking thread. Rows mean something inside one `ServingModel` only, so they never leave
this file: external ids come in and go out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.domain.recommendations import DEFAULT_OBJECTIVE
from service.serving.content_newcomers import NOBODY, Newcomers, Ranked
from service.serving.model import ServingModel
from service.serving.rules import Caps, Eligibility

_SLACK = 32
_GROWTH = 4


@dataclass(frozen=True, slots=True)
class Want:
    """What one request wants ranked, by which model, and which items will do.

    Exactly one of a history (`history` and `user_id`) and `like` is the source of the query.
    """

    model: ServingModel
    eligible: Eligibility
    limit: int
    """Places of the answer."""
    depth: int = 0
    """Candidates that the rules choose from; counts where it is above `limit`."""
    max_per_category: int | None = None
    history: tuple[str, ...] = ()
    """Item ids, oldest first."""
    times_ms: tuple[int, ...] = ()
    """When each happened, Unix milliseconds; empty where that is not known."""
    now_ms: int = 0
    """When it is asked."""
    user_key: int | None = None
    """By which the fast memory knows the user."""
    user_id: str | None = None
    like: str | None = None
    """An item: rank what is close to it."""
    objective: str = DEFAULT_OBJECTIVE
    """The event type to rank for."""
    newcomers: Newcomers = NOBODY
    """Items that the model has no row for, ranked among the others."""


def knows(want: Want) -> bool:
    """Whether the model can rank for `want`; cheap enough for the event loop."""
    model = want.model
    if want.like is not None:
        return want.like in model.items
    if model.knows_users and want.user_id is not None and want.user_id in model.users:
        return True
    return any(item_id in model.items for item_id in want.history)


@dataclass(frozen=True, slots=True)
class Found:
    """What the model has found for one want."""

    ranked: Ranked
    query: Tensor | None = None
    """[D], what it was ranked by; None where the model knows nothing to rank by."""
    allowed: Sequence[str] | None = None
    """All items that will do, where they are few beside those that the model knows."""


def retrieve(wants: Sequence[Want]) -> list[Found]:
    """The best eligible items of each want: as many as it asks for, fewer only if there are no
    more, and so many that its cap leaves `limit`.

    A want of which the model knows nothing (no item of its history, no row of its user, an item
    never learned) gets an empty list.

    Args:
        wants: all of the same model.
    """
    ranked: list[Ranked] = [[] for _ in wants]
    asked: dict[int, Tensor] = {}
    if not wants or not len(wants[0].model.items):
        return [Found([]) for _ in wants]
    model = wants[0].model
    with torch.inference_mode():
        able, queries = _queries(model, wants)
        asked = dict(zip(able, queries, strict=True))
        allowed = [want.eligible.narrowed(len(model.items)) for want in wants]
        for slot, query in zip(able, queries, strict=True):
            if (members := allowed[slot]) is not None:
                ranked[slot] = _search_members(model, wants[slot], query, members)
        wide = [place for place, slot in enumerate(able) if allowed[slot] is None]
        if wide:
            found = _search_all(model, [wants[able[place]] for place in wide], queries[wide])
            for place, items in zip(wide, found, strict=True):
                ranked[able[place]] = items
        for slot, query in zip(able, queries, strict=True):
            want, most = wants[slot], max(wants[slot].limit, wants[slot].depth, len(ranked[slot]))
            allows = want.eligible.allows
            ranked[slot] = want.newcomers.joined(query, ranked[slot], most, allows)
    return [Found(its, asked.get(slot), allowed[slot]) for slot, its in enumerate(ranked)]


def _queries(model: ServingModel, wants: Sequence[Want]) -> tuple[list[int], Tensor]:
    """The places of the wants that the model can say something about, and their queries [B, D]."""
    rows = [_known_rows(model, want) for want in wants]
    users = [model.users.row(want.user_id) if want.user_id is not None else -1 for want in wants]
    like = [place for place, want in enumerate(wants) if want.like is not None and rows[place]]
    told = [
        place
        for place, want in enumerate(wants)
        if want.like is None and (rows[place] or (users[place] >= 0 and model.knows_users))
    ]
    parts = []
    if told:
        heads = model.heads([wants[place].objective for place in told])
        parts.append(model.encode([rows[place] for place in told], [users[p] for p in told], heads))
    if like:
        parts.append(model.vectors[[rows[place][0] for place in like]])
    return told + like, torch.cat(parts) if parts else torch.empty(0, 0)


def _known_rows(model: ServingModel, want: Want) -> list[int]:
    items = want.history if want.like is None else (want.like,)
    rows = model.items.rows(items)
    return [int(row) for row in rows[rows >= 0][-model.max_history :]]


def _excluded_rows(model: ServingModel, want: Want) -> Tensor:
    rows = model.items.rows(want.eligible.exclude)
    return torch.from_numpy(np.sort(rows[rows >= 0]))


def _search_members(
    model: ServingModel, want: Want, query: Tensor, members: Sequence[str]
) -> Ranked:
    """Exact over the rows of `members`."""
    rows = model.items.rows(members)
    allowed = torch.from_numpy(np.sort(rows[rows >= 0]))
    if not len(allowed):
        return []
    k = len(allowed) if want.max_per_category else max(want.limit, want.depth)
    scores, found = model.index.search(query.unsqueeze(0), min(k, len(allowed)), allowed=allowed)
    return _eligible(model, want, scores[0].tolist(), found[0].tolist())[0]


def _search_all(model: ServingModel, wants: Sequence[Want], queries: Tensor) -> list[Ranked]:
    """Over all rows, fetching more than asked for as long as the rules leave too few."""
    ranked: list[Ranked] = [[] for _ in wants]
    open_places = list(range(len(wants)))
    excluded = [_excluded_rows(model, want) for want in wants]
    fetch = max(max(want.limit, want.depth) for want in wants) + _SLACK
    while open_places:
        fetch = min(fetch, len(model.items))
        scores, rows = model.index.search(
            queries[open_places], fetch, excluded=[excluded[place] for place in open_places]
        )
        still_open = []
        for place, its_scores, its_rows in zip(
            open_places, scores.tolist(), rows.tolist(), strict=True
        ):
            ranked[place], enough = _eligible(model, wants[place], its_scores, its_rows)
            if not enough and its_rows[-1] >= 0:
                still_open.append(place)
        open_places = still_open if fetch < len(model.items) else []
        fetch *= _GROWTH
    return ranked


def _eligible(
    model: ServingModel, want: Want, scores: Sequence[float], rows: Sequence[int]
) -> tuple[Ranked, bool]:
    """What will do of these, and whether it is enough."""
    found: Ranked = []
    allows, fitting = want.eligible.allows, 0
    caps = Caps(want.eligible.view, want.max_per_category)
    for score, row in zip(scores, rows, strict=True):
        if row < 0:
            break
        item_id = model.items.id(row)
        if allows(item_id):
            found.append((item_id, score))
            fitting += caps.admit(item_id)
            if fitting >= want.limit and len(found) >= want.depth:
                return found, True
    return found, False
