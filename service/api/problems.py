"""What HTTP makes of errors: RFC 9457 problem documents. Only this file knows their status codes.

A problem never repeats what the caller sent: its `errors` name the place and what is asked there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service import errors
from service.logs import get_logger

MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS = 1_000
_MAX_LOC_CHARS = 64

_KINDS: tuple[tuple[type[errors.FreshetError], int, str, str], ...] = (
    (errors.TooLarge, 413, "too-large", "The body is too large"),
    (errors.UnsupportedMedia, 415, "unsupported-media", "The body is not JSON"),
    (errors.BadRequest, 422, "bad-request", "The request cannot be right"),
    (errors.NotFound, 404, "not-found", "There is no such thing"),
    (errors.Conflict, 409, "conflict", "Not possible in this state"),
    (errors.StaleHead, 409, "stale-head", "The head moved meanwhile"),
    (errors.NotBuilt, 501, "not-built", "Not part of this release"),
    (errors.Unauthenticated, 401, "unauthenticated", "A valid key is needed"),
    (errors.Forbidden, 403, "forbidden", "The key does not allow this"),
    (errors.ForeignHost, 421, "foreign-host", "Without keys only this machine is answered"),
    (errors.ForeignSite, 403, "foreign-site", "Without keys no other site is answered"),
    (errors.RateLimited, 429, "rate-limited", "Too many requests"),
    (errors.Backpressure, 503, "backpressure", "Nothing was accepted"),
    (errors.Overloaded, 503, "overloaded", "Too much is waiting"),
    (errors.OutcomeUnknown, 503, "outcome-unknown", "It may have been accepted"),
    (errors.Unavailable, 503, "unavailable", "A store does not answer"),
)
"""The first that fits, so children stand before their parents."""

_TITLES = {400: "The request cannot be read", 404: "There is no such route",
           405: "The route does not take this method"}  # fmt: skip

log = get_logger("api")


def problem(
    status: int,
    kind: str,
    title: str,
    detail: str,
    *,
    found: Iterable[tuple[Sequence[str | int], str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document.

    Args:
        kind: last part of the document's `type`.
        found: place and message of each bad field.
    """
    body: dict[str, Any] = {
        "type": f"urn:freshet:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if found is not None:
        body["errors"] = [{"loc": _short(loc), "msg": msg} for loc, msg in found][:_MAX_ERRORS]
    return Response(orjson.dumps(body), status, dict(headers or {}), MEDIA_TYPE)


def from_error(error: errors.FreshetError) -> Response:
    """The document for one of our own errors."""
    for cls, status, kind, title in _KINDS:
        if isinstance(error, cls):
            found = error.errors if isinstance(error, errors.BadRequest) else None
            detail = str(error) or title
            return problem(
                status, kind, title, detail, found=found or None, headers=_headers(error)
            )
    log.error("an error without a status", error=repr(error))
    return unexpected()


def unexpected() -> Response:
    """The document for what should not have happened; what it was stands in the log alone."""
    return problem(500, "internal", "Something broke", "The error has been logged.")


def install(app: FastAPI) -> None:
    """Answer every error of `app`, the framework's own included, with a problem document."""
    app.add_exception_handler(errors.FreshetError, _freshet)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def invalid(
    found: Sequence[Mapping[str, Any]], root: Sequence[str | int] = ()
) -> errors.BadRequest:
    """`BadRequest` from pydantic's list of errors, their places put below `root`."""
    places = tuple(((*root, *error["loc"]), str(error["msg"])) for error in found)
    return errors.BadRequest("Some fields are not as they must be; errors names each.", places)


async def _freshet(request: Request, error: Exception) -> Response:
    return from_error(error) if isinstance(error, errors.FreshetError) else unexpected()


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    return from_error(invalid(found))


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    title = _TITLES.get(status, "The request was refused")
    return problem(status, f"http-{status}", title, f"{title}.", headers=headers)


def _headers(error: errors.FreshetError) -> dict[str, str]:
    if isinstance(error, errors.RateLimited | errors.Unavailable):
        return {"Retry-After": str(max(1, round(error.retry_after_s)))}
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    return {}


def _short(loc: Sequence[str | int]) -> list[str | int]:
    return [part if isinstance(part, int) else part[:_MAX_LOC_CHARS] for part in loc]
