"""The catalogue: items as clients describe them, each write with a revision of its own.

Writers take the next revision under a lock that they hold until they commit, so a reader that has
seen revision r will never meet an older one later: `changes_since` misses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from service.domain.catalogue import Item
from service.errors import BadRequest, NotFound
from service.storage.clock import now_ms
from service.storage.database import reading, storable, writing
from service.storage.tables import CatalogueHead, ItemRow

_DESCRIBED = (
    "title",
    "description",
    "categories",
    "tags",
    "available",
    "published_ms",
    "attributes",
)


class CatalogueStore:
    """Items and tombstones in the database.

    Args:
        engine: a database that `migrate` has prepared.

    Every method raises `Unavailable` when the database does not answer.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, item: Item) -> tuple[Item, bool]:
        """Make or replace an item; revision and times are given here.

        Returns:
            The item as it is now, and whether it was made (a tombstone counts as none).
        """
        return self.put_many([item])[0]

    def put_many(self, items: Sequence[Item]) -> list[tuple[Item, bool]]:
        """`put` of each item, all of them or none, under one revision."""
        for item in items:
            storable("item_id", item.item_id)
        with writing(self._engine) as session:
            revision, now = _next_revision(session), now_ms()
            return [_put(session, item, revision, now) for item in items]

    def patch(self, item_id: str, changes: Mapping[str, Any]) -> Item:
        """Change some fields of an item, named as in `Item`.

        Raises:
            BadRequest: a field that cannot be changed.
            NotFound: there is no such item.
        """
        if unknown := set(changes) - set(_DESCRIBED):
            raise BadRequest(f"cannot be changed: {', '.join(sorted(unknown))}")
        with writing(self._engine) as session:
            revision = _next_revision(session)
            item = replace(_item(_living(session, item_id)), **changes)
            return _put(session, item, revision, now_ms())[0]

    def get(self, item_id: str) -> Item:
        """One item.

        Raises:
            NotFound: there is none, or it was deleted.
        """
        with reading(self._engine) as session:
            return _item(_living(session, item_id))

    def delete(self, item_id: str) -> Item:
        """Leave a tombstone, which stays until the next put.

        Raises:
            NotFound: there is no such item.
        """
        with writing(self._engine) as session:
            revision = _next_revision(session)
            row = _living(session, item_id)
            row.document, row.deleted = {}, True
            row.revision, row.updated_ms = revision, now_ms()
            return _item(row)

    def bury(self, item_id: str) -> Item:
        """Leave a tombstone for an item that the catalogue has never had, in one step.

        Returns:
            The tombstone; what another has written meanwhile stays and is returned in its place.
        """
        storable("item_id", item_id)
        with writing(self._engine) as session:
            _lock_head(session)
            row = session.get(ItemRow, item_id)
            if row is None:
                row = ItemRow(item_id=item_id, document={}, deleted=True)
                row.revision = _next_revision(session)
                row.created_ms = row.updated_ms = now_ms()
                session.add(row)
            return _item(row)

    def revision(self) -> int:
        """The revision of the latest write; 0 before the first."""
        with reading(self._engine) as session:
            return session.get_one(CatalogueHead, 1).revision

    def changes_since(self, revision: int) -> list[Item]:
        """Every item and tombstone written after `revision`, in the order of revisions."""
        query = (
            select(ItemRow)
            .where(ItemRow.revision > revision)
            .order_by(ItemRow.revision, ItemRow.item_id)
        )
        with reading(self._engine) as session:
            return [_item(row) for row in session.scalars(query)]

    def list(self, limit: int, cursor: str | None = None) -> tuple[list[Item], str | None]:
        """A page of items by id, and the cursor of the next page.

        Args:
            cursor: the id of the last item of the page before.
        """
        query = select(ItemRow).where(ItemRow.deleted.is_(False)).order_by(ItemRow.item_id)
        if cursor is not None:
            query = query.where(ItemRow.item_id > storable("cursor", cursor))
        with reading(self._engine) as session:
            found = [_item(row) for row in session.scalars(query.limit(limit + 1))]
        page = found[:limit]
        return page, page[-1].item_id if len(found) > limit else None


def _lock_head(session: Session) -> CatalogueHead:
    """Held against every other writer until the transaction ends."""
    return session.get_one(CatalogueHead, 1, with_for_update=True)


def _next_revision(session: Session) -> int:
    head = _lock_head(session)
    head.revision += 1
    return head.revision


def _put(session: Session, item: Item, revision: int, now: int) -> tuple[Item, bool]:
    row = session.get(ItemRow, item.item_id)
    made = row is None or row.deleted
    if row is None:
        row = ItemRow(item_id=item.item_id)
        session.add(row)
    if made:
        row.created_ms = now
    row.document = {name: getattr(item, name) for name in _DESCRIBED}
    row.deleted, row.revision, row.updated_ms = False, revision, now
    return _item(row), made


def _living(session: Session, item_id: str) -> ItemRow:
    row = session.get(ItemRow, storable("item_id", item_id))
    if row is None or row.deleted:
        raise NotFound("there is no such item in the catalogue")
    return row


def _item(row: ItemRow) -> Item:
    document = dict(row.document)
    for name in ("categories", "tags"):
        document[name] = tuple(document.get(name, ()))
    return Item(
        item_id=row.item_id,
        deleted=row.deleted,
        revision=row.revision,
        updated_ms=row.updated_ms,
        created_ms=row.created_ms,
        **document,
    )
