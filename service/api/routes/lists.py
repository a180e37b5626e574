"""Popular, trending and latest items."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from service.api.access import RECOMMEND
from service.api.body import answer
from service.api.openapi import says
from service.api.query import parameters_of, read_query
from service.api.routes.recommendations import given
from service.api.schemas.recommendations import (
    LIST_PARAMS,
    POPULAR_PARAMS,
    ListParams,
    PopularParams,
    RecommendationOut,
    recommendation_out,
)
from service.api.services import Services, services_of
from service.domain.recommendations import LATEST, POPULAR, TRENDING
from service.errors import BadRequest
from service.serving.rules import Scored
from service.storage.popularity import REACH_H

router = APIRouter(tags=["items"])

_WINDOW = re.compile(r"([1-9][0-9]{0,2})([hd])")


@router.get(
    "/v1/items/popular",
    dependencies=[Depends(RECOMMEND)],
    openapi_extra=parameters_of(None, PopularParams),
    response_class=Response,
    responses=says(RecommendationOut, 200, 422),
)
async def get_popular(request: Request) -> Response:
    """Items with the most positive events of a window, by weight."""
    services, asked = services_of(request), read_query(request, POPULAR_PARAMS)
    hours = _hours(asked.window)
    scored = None
    if hours != REACH_H:
        size = services.settings.serving.lists_size
        scored = await services.popularity.popular(hours, size)
    return await _listed(services, POPULAR, asked, scored)


@router.get(
    "/v1/items/trending",
    dependencies=[Depends(RECOMMEND)],
    openapi_extra=parameters_of(None, ListParams),
    response_class=Response,
    responses=says(RecommendationOut, 200, 422),
)
async def get_trending(request: Request) -> Response:
    """Items by positive events whose weight decays with age."""
    return await _listed(services_of(request), TRENDING, read_query(request, LIST_PARAMS))


@router.get(
    "/v1/items/latest",
    dependencies=[Depends(RECOMMEND)],
    openapi_extra=parameters_of(None, ListParams),
    response_class=Response,
    responses=says(RecommendationOut, 200, 422),
)
async def get_latest(request: Request) -> Response:
    """Items by when they were published, else put for the first time or named by an event."""
    return await _listed(services_of(request), LATEST, read_query(request, LIST_PARAMS))


async def _listed(
    services: Services, source: str, asked: ListParams, popular: Sequence[Scored] | None = None
) -> Response:
    found = await services.recommender.listed(source, asked.query(), popular)
    return answer(recommendation_out(given(services, [found], measured=False)[0]))


def _hours(window: str) -> int:
    found = _WINDOW.fullmatch(window)
    hours = 0 if found is None else int(found[1]) * (24 if found[2] == "d" else 1)
    if not 1 <= hours <= REACH_H:
        message = "must be 1h to 168h, or 1d to 7d"
        raise BadRequest(f"window {message}", ((("query", "window"), message),))
    return hours
