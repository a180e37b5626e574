"""Catalogue items."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.api.schemas.fields import (
    Identifier,
    NewItemId,
    Shape,
    Words,
    format_time,
    parse_time,
)
from service.domain.catalogue import Item

_MAX_DEPTH = 16
_MAX_INTEGER = 2**63 - 1
_EARLIEST_MS = -8_520_336_000_000  # 1700-01-01
_LATEST_MS = 7_289_654_400_000  # 2201-01-01


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that every store and every client can hold: finite, 64 bit, no NUL, not too deep."""
    waiting: list[tuple[Any, int]] = [(values, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise PydanticCustomError("too_deep", "is nested too deeply")
        if isinstance(value, dict):
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]
        elif not _is_plain(value):
            raise PydanticCustomError(
                "not_plain", "holds a number that is not finite or not 64 bit, or a NUL character"
            )
    return values


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -_MAX_INTEGER <= value <= _MAX_INTEGER


def _published(value: Any) -> int:
    time_ms = parse_time(value)
    if not _EARLIEST_MS <= time_ms <= _LATEST_MS:
        raise PydanticCustomError("time_range", "must lie between the years 1700 and 2200")
    return time_ms


Published = Annotated[
    int,
    BeforeValidator(_published),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]
Labels = Annotated[list[Identifier], Field(max_length=100)]
Attributes = Annotated[dict[str, Any], AfterValidator(_plain)]
Title = Annotated[Words, Field(max_length=1_000)]


class ItemIn(Shape):
    """An item as it shall be from now on; what is not named takes its default."""

    item_id: NewItemId | None = Field(None, description="if named, the one of the path")
    title: Title = ""
    description: Words = ""
    categories: Labels = Field(default_factory=list)
    tags: Labels = Field(default_factory=list)
    available: bool = True
    published_at: Published | None = None
    attributes: Attributes = Field(default_factory=dict)

    def item(self, item_id: str) -> Item:
        return Item(
            item_id=item_id,
            title=self.title,
            description=self.description,
            categories=_distinct(self.categories),
            tags=_distinct(self.tags),
            available=self.available,
            published_ms=self.published_at,
            attributes=self.attributes,
        )


class BatchItemIn(ItemIn):
    """An item of a batch."""

    item_id: NewItemId


class ItemsIn(Shape):
    """A batch: all of it is written, or none."""

    items: list[BatchItemIn] = Field(min_length=1)


class ItemPatch(Shape):
    """What shall change of an item; what is not named stays."""

    title: Title = ""
    description: Words = ""
    categories: Labels = Field(default_factory=list)
    tags: Labels = Field(default_factory=list)
    available: bool = True
    published_at: Published | None = None
    attributes: Attributes = Field(default_factory=dict)

    def changes(self) -> dict[str, Any]:
        """The named fields, by their names in `Item`."""
        named: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if "published_at" in named:
            named["published_ms"] = named.pop("published_at")
        for name in ("categories", "tags"):
            if name in named:
                named[name] = _distinct(named[name])
        return named


class StoredItem(Shape):
    """A catalogue item."""

    item_id: str
    title: str
    description: str
    categories: list[str]
    tags: list[str]
    available: bool
    published_at: str | None
    attributes: dict[str, Any]
    updated_at: str


class ItemPage(Shape):
    """Items by id; `next_cursor` is null at the end."""

    items: list[StoredItem]
    next_cursor: str | None


class ItemsWritten(Shape):
    """How many items the batch wrote, and how many of them were new."""

    written: int
    created: int


ITEM_IN = TypeAdapter(ItemIn)
ITEMS_IN = TypeAdapter(ItemsIn)
ITEM_PATCH = TypeAdapter(ItemPatch)


def item_out(item: Item) -> dict[str, Any]:
    """An item as JSON values."""
    return {
        "item_id": item.item_id,
        "title": item.title,
        "description": item.description,
        "categories": item.categories,
        "tags": item.tags,
        "available": item.available,
        "published_at": format_time(item.published_ms),
        "attributes": item.attributes,
        "updated_at": format_time(item.updated_ms),
    }


def _distinct(labels: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(labels))
