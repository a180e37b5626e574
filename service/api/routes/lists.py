"""Popular, trending and latest items."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from service.api.access import RECOMMEND
from service.api.body import answer
from service.api.openapi import says
from service.api.parameters import DEFAULT_LIMIT, Categories, Limit
from service.api.routes.recommendations import given
from service.api.schemas.recommendations import RecommendationOut, recommendation_out
from service.api.services import Services, services_of
from service.domain.recommendations import LATEST, POPULAR, TRENDING
from service.errors import BadRequest
from service.storage.popularity import REACH_H

router = APIRouter(tags=["items"])

_WINDOW = re.compile(r"([1-9][0-9]{0,2})([hd])")

Window = Annotated[
    str, Query(max_length=8, pattern=r"^[1-9][0-9]{0,2}[hd]$", description="1h to 7d")
]


@router.get(
    "/v1/items/popular",
    dependencies=[Depends(RECOMMEND)],
    response_class=Response,
    responses=says(RecommendationOut, 200),
)
async def get_popular(
    request: Request,
    category: Categories,
    window: Window = "7d",
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Items with the most positive events of a window, by weight."""
    services, hours = services_of(request), _hours(window)
    scored = None
    if hours != REACH_H:
        size = services.settings.serving.lists_size
        scored = await services.popularity.popular(hours, size)
    found = await services.recommender.listed(POPULAR, limit, frozenset(category), scored)
    return answer(recommendation_out(given(services, [found], measured=False)[0]))


@router.get(
    "/v1/items/trending",
    dependencies=[Depends(RECOMMEND)],
    response_class=Response,
    responses=says(RecommendationOut, 200),
)
async def get_trending(
    request: Request, category: Categories, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """Items by positive events whose weight decays with age."""
    return await _listed(services_of(request), TRENDING, limit, category)


@router.get(
    "/v1/items/latest",
    dependencies=[Depends(RECOMMEND)],
    response_class=Response,
    responses=says(RecommendationOut, 200),
)
async def get_latest(
    request: Request, category: Categories, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """Items by when they were published, or first named."""
    return await _listed(services_of(request), LATEST, limit, category)


async def _listed(services: Services, source: str, limit: int, categories: list[str]) -> Response:
    found = await services.recommender.listed(source, limit, frozenset(categories), None)
    return answer(recommendation_out(given(services, [found], measured=False)[0]))


def _hours(window: str) -> int:
    found = _WINDOW.fullmatch(window)
    hours = 0 if found is None else int(found[1]) * (24 if found[2] == "d" else 1)
    if not 1 <= hours <= REACH_H:
        message = "must be 1h to 168h, or 1d to 7d"
        raise BadRequest(f"window {message}", ((("query", "window"), message),))
    return hours
