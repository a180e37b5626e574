"""Liveness, readiness, metrics, and a page that says what this is. No key is asked for."""

from __future__ import annotations

import html
import os
from importlib.resources import files
from string import Template
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from service.api.body import answer
from service.api.openapi import VERSION, says
from service.api.schemas.fields import Shape, format_time
from service.api.services import Services, services_of

router = APIRouter(tags=["operations"])

_STALE_S = 10.0


class Health(Shape):
    """The process lives."""

    status: str


class Readiness(Shape):
    """Whether this replica takes requests, and the state of what it leans on."""

    ready: bool
    pid: int
    draining: bool
    model_version: int
    learned_until: str | None
    error: str | None
    log: str
    database: str


@router.get("/healthz", response_class=Response, responses=says(Health, 200))
async def healthz() -> Response:
    """The process lives."""
    return answer({"status": "alive"})


@router.get(
    "/readyz",
    response_class=Response,
    responses={**says(Readiness, 200), **says(Readiness, 503)},
)
async def readyz(request: Request) -> Response:
    """200 while this replica can answer and is not on its way out.

    The absence of the log or the database is named, and does not make a warm replica unready.
    """
    state = _readiness(services_of(request))
    return answer(state, 200 if state["ready"] else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}}},
)
async def metrics(request: Request) -> Response:
    """Metrics of this replica."""
    return Response(services_of(request).metrics.render(), media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """What this is, its state, and where the docs are."""
    state = _readiness(services_of(request))
    shown = {name: html.escape(str(value)) for name, value in state.items() if value is not None}
    template = Template((files("service.api") / "page.html").read_text())
    text = template.safe_substitute(
        shown,
        version=html.escape(VERSION),
        state="ready" if state["ready"] else "not ready",
        learned_until=shown.get("learned_until", "nothing learned yet"),
        items=len(services_of(request).watcher.served.model.items),
    )
    return Response(text, media_type="text/html; charset=utf-8", headers=_PAGE_HEADERS)


_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
}


def _readiness(services: Services) -> dict[str, Any]:
    served, draining = services.watcher.served, services.drain.draining
    learned = len(served.model.items) > 0
    lists_age_s, database_age_s = services.lists.age_s(), services.feed.age_s()
    warm = learned or (served.head is not None and lists_age_s is not None)
    return {
        "ready": warm and not draining,
        "pid": os.getpid(),
        "draining": draining,
        "model_version": served.model.version,
        "learned_until": format_time(served.model.learned_until_ms),
        "error": served.error,
        "log": _state(lists_age_s),
        "database": _state(database_age_s),
    }


def _state(age_s: float | None) -> str:
    return "up" if age_s is not None and age_s < _STALE_S else "down"
