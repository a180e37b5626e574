"""Bodies: read up to a limit while they arrive, then parsed and checked in one pass."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from service.api.problems import invalid
from service.errors import TooLarge, UnsupportedMedia

T = TypeVar("T")

_SEND_JSON = "send `Content-Type: application/json`"


async def read_json(
    request: Request,
    adapter: TypeAdapter[T],
    *,
    max_bytes: int,
    context: Any = None,
    default: bytes = b"",
) -> T:
    """The body as `adapter` has it.

    Args:
        max_bytes: a larger body is refused without being read to its end.
        context: what the validators need to know.
        default: stands in for an empty body.

    Raises:
        TooLarge: more than `max_bytes`.
        UnsupportedMedia: the content type is not JSON, or there is a body without one.
        BadRequest: no JSON, or not as `adapter` wants it; names every bad field.
    """
    content_type = request.headers.get("content-type")
    if content_type is not None:
        _check_media_type(content_type)
    body = await _read(request, max_bytes)
    if body and content_type is None:
        raise UnsupportedMedia(_SEND_JSON)
    try:
        return adapter.validate_json(body or default, context=context)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid(found, ("body",)) from None


def answer(content: Any, status: int = 200) -> Response:
    """`content` as JSON bytes."""
    return Response(orjson.dumps(content), status, media_type="application/json")


async def _read(request: Request, max_bytes: int) -> bytes:
    said = request.headers.get("content-length", "")
    if said.isdecimal() and len(said) < 20 and int(said) > max_bytes:
        raise TooLarge(f"a body may have at most {max_bytes} bytes")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            raise TooLarge(f"a body may have at most {max_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


def _check_media_type(content_type: str) -> None:
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMedia(_SEND_JSON)
    charset = parameters.lower().partition("charset=")[2].strip(' "')
    if charset and charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia("send UTF-8")
