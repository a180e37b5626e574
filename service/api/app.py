"""The application: routes, errors and what stands around every request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from service.api import openapi, problems
from service.api.building import open_services
from service.api.drain import Drain
from service.api.envelope import Envelope
from service.api.routes import admin, events, items, lists, operations, recommendations, users
from service.api.services import State
from service.settings import Settings
from service.telemetry import Metrics


def create_app(settings: Settings, drain: Drain | None = None) -> FastAPI:
    """The api of one replica. Nothing is opened before its lifespan begins.

    Args:
        settings: as read by the process.
        drain: where the server says that it is on its way out.
    """
    metrics, drain = Metrics(), drain or Drain()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        async with open_services(settings, metrics, drain) as services:
            yield {"services": services}

    app = FastAPI(
        title="freshet",
        summary="A recommender that learns while it serves.",
        version=openapi.VERSION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    for routes in (operations, events, recommendations, lists, items, users, admin):
        app.router.routes.extend(routes.router.routes)  # flat: documents and tests walk them
    problems.install(app)
    openapi.install(app, settings)
    app.add_middleware(Envelope, metrics=metrics, drain=drain)
    return app
