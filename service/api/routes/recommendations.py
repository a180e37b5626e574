"""Recommendations and similar items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from service.api.access import RECOMMEND
from service.api.body import answer, read_json
from service.api.limits import check_batch, check_explained
from service.api.openapi import body_of, says
from service.api.query import parameters_of, read_path_id, read_query
from service.api.schemas.recommendations import (
    RECOMMENDATION_PARAMS,
    RECOMMENDATIONS_IN,
    SIMILAR_PARAMS,
    RecommendationOut,
    RecommendationParams,
    RecommendationsIn,
    RecommendationsOut,
    SimilarParams,
    recommendation_out,
)
from service.api.services import Services, services_of
from service.domain import recommendations as domain
from service.errors import BadRequest, NotFound, Unavailable
from service.logs import user_mark
from service.telemetry import Metrics

router = APIRouter(tags=["recommendations"])


@router.get(
    "/v1/users/{user_id}/recommendations",
    dependencies=[Depends(RECOMMEND)],
    openapi_extra=parameters_of("user_id", RecommendationParams),
    response_class=Response,
    responses=says(RecommendationOut, 200, 422),
)
async def get_recommendations(request: Request) -> Response:
    """What to show a user next. A user nobody has named gets what is trending, popular or new."""
    services = services_of(request)
    user_id = read_path_id(request, "user_id")
    asked = read_query(request, RECOMMENDATION_PARAMS)
    _check_objective(services, asked.objective, "query")
    _mark(request, services, user_id)
    return answer((await _recommended(services, [asked.of(user_id)]))[0])


@router.post(
    "/v1/recommendations",
    dependencies=[Depends(RECOMMEND)],
    openapi_extra=body_of(RecommendationsIn),
    response_class=Response,
    responses=says(RecommendationsOut, 200, 413, 415, 422),
)
async def post_recommendations(request: Request) -> Response:
    """The same for many users at once, and for sessions without a known user."""
    services = services_of(request)
    limits = services.settings.limits
    asked = await read_json(request, RECOMMENDATIONS_IN, max_bytes=limits.max_body_bytes)
    check_batch(len(asked.requests), "requests", limits)
    if asked.explain:
        check_explained(len(asked.requests), limits)
    _check_objective(services, asked.objective, "body")
    return answer({"results": await _recommended(services, asked.queries())})


@router.get(
    "/v1/items/{item_id}/similar",
    dependencies=[Depends(RECOMMEND)],
    openapi_extra=parameters_of("item_id", SimilarParams),
    response_class=Response,
    responses=says(RecommendationOut, 200, 404, 422),
)
async def get_similar(request: Request) -> Response:
    """Items close to this one by what was learned, by what both say of themselves or by who was
    met together with it; filled like every answer."""
    services = services_of(request)
    item_id = read_path_id(request, "item_id")
    asked = read_query(request, SIMILAR_PARAMS)
    await _check_named(services, item_id)
    found = await services.recommender.similar(item_id, asked.query(), asked.by)
    return answer(recommendation_out(given(services, [found], measured=False)[0]))


def given(
    services: Services, answers: Sequence[domain.Recommendation], *, measured: bool = True
) -> list[domain.Recommendation]:
    """The answers with their ids: counted, and those that are `measured` to be joined later."""
    _count(services.metrics, answers)
    return services.recorder.issue(answers, measured=measured)


def _count(metrics: Metrics, answers: Iterable[domain.Recommendation]) -> None:
    """Count answers, what they rest on and what they had to do without."""
    for one in answers:
        metrics.recommendations.labels(one.source).inc()
        sources: dict[str, int] = {}
        for item in one.items:
            sources[item.source] = sources.get(item.source, 0) + 1
        for source, items in sources.items():
            metrics.recommended_items.labels(source).inc(items)
        for without in one.degraded:
            metrics.degraded.labels(without).inc()


async def _recommended(services: Services, queries: Sequence[domain.Query]) -> list[dict[str, Any]]:
    found = given(services, await services.recommender.recommend(queries))
    return [recommendation_out(one) for one in found]


def _check_objective(services: Services, objective: str, place: str) -> None:
    there_are = services.settings.objectives
    if objective not in there_are:
        message = f"must be one of {', '.join(there_are)}; others have no head to be ranked by"
        raise BadRequest(f"objective {message}", (((place, "objective"), message),))


async def _check_named(services: Services, item_id: str) -> None:
    """See that somebody has named the item: the catalogue, the model or an event.

    While the log is down its word is not needed: an item it may know is answered from the lists.
    """
    entry = services.feed.view.entry(item_id)
    known = entry is not None or item_id in services.watcher.served.model.items
    if not known:
        try:
            known = await services.popularity.known(item_id)
        except Unavailable:
            known = True
    if not known or (entry is not None and entry.deleted):
        raise NotFound("nobody has named this item")


def _mark(request: Request, services: Services, user_id: str) -> None:
    if services.secret.key is not None:
        request.state.log["user"] = user_mark(services.secret.key, user_id)
