"""Query and path parameters that several routes share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from service.api.schemas.fields import NewPathItemId, PathId

UserId = Annotated[PathId, Path(description="opaque; `/` travels as `%2F`")]
ItemId = Annotated[PathId, Path(description="opaque; `/` travels as `%2F`")]
NewItemId = Annotated[NewPathItemId, Path(description="opaque; `/` travels as `%2F`")]
PageLimit = Annotated[int, Query(ge=1, le=1_000, description="entries in the page")]
Cursor = Annotated[str | None, Query(max_length=4_096, description="`next_cursor` of a page")]

__all__ = [
    "Cursor",
    "ItemId",
    "NewItemId",
    "PageLimit",
    "UserId",
]
