"""The small types that all shapes are made of: ids, words and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError

MAX_ID_CHARS = 256
RESERVED_ITEM_IDS = frozenset({"popular", "trending", "latest"})
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
_NO_NUL = r"^[^\x00]*$"
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class Shape(BaseModel):
    """A JSON object that takes the named fields and no others, and converts nothing."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _not_a_dot(value: str) -> str:
    if value in (".", ".."):
        raise PydanticCustomError("reserved_id", "`.` and `..` are no ids")
    return value


def _not_reserved(value: str) -> str:
    if value in RESERVED_ITEM_IDS:
        raise PydanticCustomError("reserved_id", "this id is the name of a list")
    return value


def _decode_segment(value: Any) -> Any:
    """A path segment as it travelled, decoded."""
    if not isinstance(value, str):
        return value
    try:
        return unquote_to_bytes(value).decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise PydanticCustomError("not_utf8", "must be percent-encoded UTF-8") from None


Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_ID_CHARS, pattern=_PRINTABLE)
]
"""1–256 characters, none of them a control character; opaque."""

NewUserId = Annotated[Identifier, AfterValidator(_not_a_dot)]
"""A user id that is about to be written."""

NewItemId = Annotated[Identifier, AfterValidator(_not_a_dot), AfterValidator(_not_reserved)]
"""An item id that is about to be written."""

PathId = Annotated[Identifier, BeforeValidator(_decode_segment)]
"""An id as a path segment."""

NewPathItemId = Annotated[NewItemId, BeforeValidator(_decode_segment)]
"""An item id as a path segment, about to be written."""

Words = Annotated[str, StringConstraints(max_length=20_000, pattern=_NO_NUL)]
"""Free text without NUL, which PostgreSQL does not store."""


def parse_time(value: Any) -> int:
    """Unix milliseconds of an RFC 3339 time with an offset.

    Raises:
        PydanticCustomError: it is none.
    """
    if isinstance(value, str) and len(value) <= 40 and _RFC_3339.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper().replace("Z", "+00:00")).astimezone(UTC)
            return int(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            pass
    raise PydanticCustomError("time", "must be an RFC 3339 time with an offset")


def format_time(time_ms: int | None) -> str | None:
    """RFC 3339 in UTC; milliseconds where there are any."""
    if time_ms is None:
        return None
    moment = datetime.fromtimestamp(time_ms // 1000, UTC).replace(tzinfo=None)
    fraction = f".{time_ms % 1000:03d}" if time_ms % 1000 else ""
    return f"{moment.isoformat(timespec='seconds')}{fraction}Z"
