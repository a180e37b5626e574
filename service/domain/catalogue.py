"""Items as clients describe them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """One catalogue entry; an item that only events name has none.

    `revision` orders every write to the catalogue; `deleted` marks a tombstone, which stays until
    the next PUT so that later events do not revive the item. `created_ms` is when it was put first,
    or first after it was deleted.
    """

    item_id: str
    title: str = ""
    description: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    available: bool = True
    published_ms: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    deleted: bool = False
    revision: int = 0
    updated_ms: int = 0
    created_ms: int = 0
