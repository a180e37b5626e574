"""What is asked of the recommender and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.rules import NO_RULES, Rules

MODEL, TRENDING, POPULAR, LATEST = "model", "trending", "popular", "latest"
"""Where an item of an answer comes from, in the order in which answers are filled."""

EXPLORE = "explore"
"""… or from the share of the places that is kept for what is not known well."""

PERSONALIZED, SESSION, FALLBACK = "personalized", "session", "fallback"
"""What an answer rests on: a user's history, a history in the request, or neither."""

DEFAULT_OBJECTIVE = "click"
"""The event type that items are ranked for where none is asked for."""


class SimilarBy(StrEnum):
    """What makes two items similar."""

    VECTORS = "vectors"
    """What was learned of them."""
    CONTENT = "content"
    """What they say of themselves."""
    COVISITS = "covisits"
    """Who was met together with them."""


@dataclass(frozen=True, slots=True)
class Query:
    """One request for recommendations: a known user, or a session's history, or neither.

    `categories` asks for items in any of them, `categories_all` for items in all of them; empty
    means every category.
    """

    user_id: str | None = None
    history: tuple[str, ...] | None = None
    """Item ids, oldest first, sent with the request in place of the stored history."""
    limit: int = 20
    categories: frozenset[str] = frozenset()
    categories_all: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    exclude_seen: bool = True
    rules: Rules = NO_RULES
    diversity: float = 0.0
    """0 ranks by worth alone, 1 by unlikeness to what stands above."""
    max_per_category: int | None = None
    """Items of the answer that share any category, at most; None: no matter how many."""
    explain: bool = False
    objective: str = DEFAULT_OBJECTIVE
    """The event type to rank for: which head of the model is asked."""


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One place of an answer. Scores compare within one `source` of one answer, not across."""

    item_id: str
    score: float
    source: str
    """`model`, `trending`, `popular`, `latest` or `explore`."""
    because: tuple[str, ...] | None = None
    """History items that spoke most for it, strongest first, when they were asked for."""
    sources: tuple[str, ...] | None = None
    """Who proposed it, whoever ranked it highest first, when that was asked for."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One answer: all of it from one model version and one catalogue revision."""

    user_id: str | None
    source: str
    """`personalized`, `session` or `fallback`."""
    model_version: int
    learned_until_ms: int | None
    items: tuple[RecommendedItem, ...]
    degraded: tuple[str, ...] = field(default=())
    """What the answer had to do without: `history`, `model`, `objective`, `catalogue`,
    `popularity`."""
    recommendation_id: str = ""
    """Given when the answer leaves the service."""
