"""Recommendations, similar items and lists: what is asked and what is answered."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from service.api.schemas.fields import Identifier, Shape, format_time
from service.domain.recommendations import DEFAULT_OBJECTIVE, Query, Recommendation, RecommendedItem

MAX_LIMIT = 200
DEFAULT_LIMIT = 20
MAX_HISTORY = 1_000
MAX_FILTER = 10_000


class Filter(Shape):
    """What an answer may hold."""

    categories: list[Identifier] = Field([], max_length=100, description="any of these")
    exclude: list[Identifier] = Field([], max_length=MAX_FILTER, description="none of these")
    exclude_seen: bool = Field(True, description="nothing of the user's positive history")


class RecommendationParams(BaseModel):
    """The query of one user's recommendations."""

    model_config = ConfigDict(frozen=True)

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="places in the answer")
    category: tuple[Identifier, ...] = Field((), max_length=100, description="any of these")
    exclude: tuple[Identifier, ...] = Field((), max_length=MAX_FILTER, description="none of these")
    exclude_seen: bool = Field(True, description="nothing of the user's positive history")
    objective: Identifier = Field(
        DEFAULT_OBJECTIVE, description="an event type: `click` or one of `type_heads`"
    )
    diversity: float = Field(0.0, ge=0.0, le=1.0, allow_inf_nan=False)
    explain: bool = False

    def query(self, user_id: str) -> Query:
        return Query(
            user_id=user_id,
            limit=self.limit,
            categories=frozenset(self.category),
            exclude=frozenset(self.exclude),
            exclude_seen=self.exclude_seen,
            explain=self.explain,
            objective=self.objective,
        )


class RequestIn(Shape):
    """One of: a known user, a session's history, or nothing at all."""

    user_id: Identifier | None = None
    history: list[Identifier] | None = Field(
        None, max_length=MAX_HISTORY, description="item ids, oldest first, in place of the stored"
    )


class RecommendationsIn(Shape):
    """Many requests with the same wishes."""

    requests: list[RequestIn] = Field(min_length=1)
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    filter: Filter = Filter()
    objective: Identifier = Field(
        DEFAULT_OBJECTIVE, description="an event type: `click` or one of `type_heads`"
    )
    diversity: float = Field(0.0, ge=0.0, le=1.0, allow_inf_nan=False)
    explain: bool = False

    def queries(self) -> list[Query]:
        """One query per request, in their order."""
        categories = frozenset(self.filter.categories)
        exclude = frozenset(self.filter.exclude)
        return [
            Query(
                user_id=one.user_id,
                history=None if one.history is None else tuple(one.history),
                limit=self.limit,
                categories=categories,
                exclude=exclude,
                exclude_seen=self.filter.exclude_seen,
                explain=self.explain,
                objective=self.objective,
            )
            for one in self.requests
        ]


class ItemOut(Shape):
    """One place of an answer. Scores compare within one source of one answer."""

    item_id: str
    score: float
    source: str = Field(description="model, trending, popular or latest")
    because: list[str] | None = Field(None, description="with `explain`: history items")


class RecommendationOut(Shape):
    """One answer, all of it from one model version."""

    recommendation_id: str
    user_id: str | None
    source: str = Field(description="personalized, session or fallback")
    model_version: int
    learned_until: str | None
    items: list[ItemOut]
    degraded: list[str]


class RecommendationsOut(Shape):
    """The answers in the order of the requests."""

    results: list[RecommendationOut]


RECOMMENDATION_PARAMS = TypeAdapter(RecommendationParams)
RECOMMENDATIONS_IN = TypeAdapter(RecommendationsIn)


def recommendation_out(found: Recommendation) -> dict[str, Any]:
    """An answer as JSON values."""
    return {
        "recommendation_id": found.recommendation_id,
        "user_id": found.user_id,
        "source": found.source,
        "model_version": found.model_version,
        "learned_until": format_time(found.learned_until_ms),
        "items": [_item_out(item) for item in found.items],
        "degraded": found.degraded,
    }


def _item_out(item: RecommendedItem) -> dict[str, Any]:
    out = {"item_id": item.item_id, "score": item.score, "source": item.source}
    return out if item.because is None else {**out, "because": item.because}
