"""Recommendations, similar items and lists: what is asked and what is answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, WithJsonSchema

from service.api.schemas.fields import Identifier, Shape, format_time
from service.api.schemas.rules import MAX_RULES, RuleIn
from service.domain.recommendations import (
    DEFAULT_OBJECTIVE,
    Query,
    Recommendation,
    RecommendedItem,
    SimilarBy,
)
from service.domain.rules import Rules

MAX_LIMIT = 200
DEFAULT_LIMIT = 20
MAX_HISTORY = 1_000
MAX_FILTER = 10_000


Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="places in the answer")]
AnyOf = Annotated[tuple[Identifier, ...], Field(max_length=100, description="any of these")]
AllOf = Annotated[tuple[Identifier, ...], Field(max_length=100, description="all of these")]
NoneOf = Annotated[
    tuple[Identifier, ...],
    Field(
        max_length=MAX_FILTER,
        description="none of these; more than a URL of 64 kB holds belong in the body of"
        " `POST /v1/recommendations`",
    ),
]
Unseen = Annotated[bool, Field(description="nothing that the user has seen")]
Diversity = Annotated[
    float,
    Field(ge=0.0, le=1.0, allow_inf_nan=False, description="0: by worth; 1: by unlikeness"),
]
PerCategory = Annotated[
    Annotated[int, Field(ge=1)] | None,
    Field(description="items that share any category, at most"),
]
Objective = Annotated[
    Identifier, Field(description="an event type: `click` or one of `type_heads`")
]
By = Annotated[
    SimilarBy,
    WithJsonSchema(
        {
            "type": "string",
            "enum": [by.value for by in SimilarBy],
            "description": "`vectors`: what was learned; `content`: title, description, labels;"
            " `covisits`: what was met with it",
        }
    ),
]


class Filter(Shape):
    """What an answer may hold."""

    categories: list[Identifier] = Field([], max_length=100, description="any of these")
    categories_all: list[Identifier] = Field([], max_length=100, description="all of these")
    exclude: list[Identifier] = Field([], max_length=MAX_FILTER, description="none of these")
    exclude_seen: Unseen = True


class ListParams(BaseModel):
    """The query of a list, and of items like one."""

    model_config = ConfigDict(frozen=True)

    limit: Limit = DEFAULT_LIMIT
    category: AnyOf = ()
    categories_all: AllOf = ()
    exclude: NoneOf = ()
    diversity: Diversity = 0.0
    max_per_category: PerCategory = None

    def query(self) -> Query:
        return Query(
            limit=self.limit,
            categories=frozenset(self.category),
            categories_all=frozenset(self.categories_all),
            exclude=frozenset(self.exclude),
            diversity=self.diversity,
            max_per_category=self.max_per_category,
        )


class SimilarParams(ListParams):
    """The query of items like one."""

    by: By = SimilarBy.VECTORS


class PopularParams(ListParams):
    """The query of the popular list."""

    window: str = Field(
        "7d", max_length=8, pattern=r"^[1-9][0-9]{0,2}[hd]$", description="1h to 7d"
    )


class RecommendationParams(ListParams):
    """The query of one user's recommendations."""

    exclude_seen: Unseen = True
    objective: Objective = DEFAULT_OBJECTIVE
    explain: bool = False

    def of(self, user_id: str) -> Query:
        """The query of this user."""
        return replace(
            self.query(),
            user_id=user_id,
            exclude_seen=self.exclude_seen,
            objective=self.objective,
            explain=self.explain,
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
    limit: Limit = DEFAULT_LIMIT
    filter: Filter = Filter()
    rules: list[RuleIn] = Field([], max_length=MAX_RULES)
    diversity: Diversity = 0.0
    max_per_category: PerCategory = None
    objective: Objective = DEFAULT_OBJECTIVE
    explain: bool = False

    def queries(self) -> list[Query]:
        """One query per request, in their order."""
        wishes = Query(
            limit=self.limit,
            categories=frozenset(self.filter.categories),
            categories_all=frozenset(self.filter.categories_all),
            exclude=frozenset(self.filter.exclude),
            exclude_seen=self.filter.exclude_seen,
            rules=Rules.of(one.rule() for one in self.rules),
            diversity=self.diversity,
            max_per_category=self.max_per_category,
            objective=self.objective,
            explain=self.explain,
        )
        return [
            replace(
                wishes,
                user_id=one.user_id,
                history=None if one.history is None else tuple(one.history),
            )
            for one in self.requests
        ]


class ItemOut(Shape):
    """One place of an answer. Scores compare within one source of one answer."""

    item_id: str
    score: float
    source: str = Field(description="model, trending, popular, latest or explore")
    because: list[str] | None = Field(None, description="with `explain`: history items")
    sources: list[str] | None = Field(None, description="with `explain`: who proposed it")


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


LIST_PARAMS = TypeAdapter(ListParams)
SIMILAR_PARAMS = TypeAdapter(SimilarParams)
POPULAR_PARAMS = TypeAdapter(PopularParams)
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
    return (
        out if item.because is None else {**out, "because": item.because, "sources": item.sources}
    )
