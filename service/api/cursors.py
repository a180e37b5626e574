"""Cursors: opaque to clients, a JSON list to us."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from service.errors import BadRequest


def make(*parts: str | int) -> str:
    """A cursor that stands for `parts`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode().rstrip("=")


def read(cursor: str, shape: Any) -> Any:
    """The parts of a cursor, a tuple as the type `shape` says.

    Raises:
        BadRequest: it is no cursor of this list.
    """
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=shape)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise bad_cursor() from None


def bad_cursor() -> BadRequest:
    message = "must be a `next_cursor` of this list"
    return BadRequest(f"cursor {message}", ((("query", "cursor"), message),))
