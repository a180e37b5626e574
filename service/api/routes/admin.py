"""Retraining, jobs, versions, the pin and status."""

from __future__ import annotations

from functools import partial
from typing import Annotated, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.api import cursors
from service.api.access import ADMIN
from service.api.body import answer, read_json
from service.api.openapi import body_of, says
from service.api.parameters import Cursor, PageLimit
from service.api.schemas.admin import (
    ACTIVATE_IN,
    RETRAIN_IN,
    ActivateIn,
    HeadOut,
    JobAsked,
    JobOut,
    JobPage,
    ModelOut,
    ModelPage,
    RetrainIn,
    head_out,
    job_out,
    model_out,
)
from service.api.services import Services, services_of
from service.api.status import Status, read_status
from service.domain.versions import JobMode
from service.errors import NotFound

router = APIRouter(prefix="/v1/admin", tags=["admin"], dependencies=[Depends(ADMIN)])

T = TypeVar("T")

JobId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[0-9a-zA-Z-]+$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.post(
    "/retrain",
    status_code=202,
    openapi_extra=body_of(RetrainIn, required=False),
    response_class=Response,
    responses={**says(JobAsked, 202, 413, 415, 422), **says(JobAsked, 200)},
)
async def post_retrain(request: Request) -> Response:
    """Queue a job that covers every event acknowledged before it was asked for.

    A queued one of the same mode is answered in its place, with 200.
    """
    services = services_of(request)
    asked = await _body(request, services, RETRAIN_IN)
    until = await to_thread.run_sync(services.event_log.last)
    job, created = await to_thread.run_sync(
        services.jobs.ask, JobMode(asked.mode), asked.reason, until
    )
    return answer({"job_id": job.job_id, "status": job.status.value}, 202 if created else 200)


@router.get("/jobs", response_class=Response, responses=says(JobPage, 200))
async def list_jobs(request: Request, limit: PageLimit = 100, cursor: Cursor = None) -> Response:
    """Jobs, newest first."""
    after = None if cursor is None else cursors.read(cursor, tuple[str])[0]
    try:
        jobs, last = await to_thread.run_sync(services_of(request).jobs.list, limit, after)
    except NotFound:
        raise cursors.bad_cursor() from None
    next_cursor = None if last is None else cursors.make(last)
    return answer({"jobs": [job_out(job) for job in jobs], "next_cursor": next_cursor})


@router.get("/jobs/{job_id}", response_class=Response, responses=says(JobOut, 200, 404))
async def get_job(request: Request, job_id: JobId) -> Response:
    """One job."""
    return answer(job_out(await to_thread.run_sync(services_of(request).jobs.get, job_id)))


@router.post(
    "/jobs/{job_id}/cancel", response_class=Response, responses=says(JobOut, 200, 404, 409)
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """Cancel a queued job at once; ask a running one to stop."""
    return answer(job_out(await to_thread.run_sync(services_of(request).jobs.cancel, job_id)))


@router.get("/models", response_class=Response, responses=says(ModelPage, 200))
async def list_models(
    request: Request, limit: PageLimit = 1_000, cursor: Cursor = None
) -> Response:
    """Model versions, newest first."""
    before = None if cursor is None else cursors.read(cursor, tuple[int])[0]
    registry = services_of(request).registry
    found = await to_thread.run_sync(registry.versions, limit + 1, before)
    next_cursor = cursors.make(found[limit - 1].version) if len(found) > limit else None
    models = [model_out(record) for record in found[:limit]]
    return answer({"models": models, "next_cursor": next_cursor})


@router.get("/models/{version}", response_class=Response, responses=says(ModelOut, 200, 404))
async def get_model(request: Request, version: Version) -> Response:
    """One model version."""
    record = await to_thread.run_sync(services_of(request).registry.version, version)
    return answer(model_out(record))


@router.post(
    "/models/{version}/activate",
    openapi_extra=body_of(ActivateIn, required=False),
    response_class=Response,
    responses=says(HeadOut, 200, 404, 409, 413, 415, 422),
)
async def activate_model(request: Request, version: Version) -> Response:
    """Serve this version from now on, and go on learning from it."""
    services = services_of(request)
    asked = await _body(request, services, ACTIVATE_IN)
    activate = partial(services.registry.activate, version, pin=asked.pin, relearn=asked.relearn)
    head = await to_thread.run_sync(activate)
    services.watcher.poke()
    return answer(head_out(head))


@router.delete("/pin", response_class=Response, responses=says(HeadOut, 200))
async def delete_pin(request: Request) -> Response:
    """Let the next version that is published be served."""
    return answer(head_out(await to_thread.run_sync(services_of(request).registry.unpin)))


@router.get("/status", response_class=Response, responses=says(Status, 200))
async def get_status(request: Request) -> Response:
    """Where the log, the learner and each replica are."""
    return answer(await read_status(services_of(request)))


async def _body(request: Request, services: Services, adapter: TypeAdapter[T]) -> T:
    """The body, or the defaults where there is none."""
    max_bytes = services.settings.limits.max_body_bytes
    return await read_json(request, adapter, max_bytes=max_bytes, default=b"{}")
