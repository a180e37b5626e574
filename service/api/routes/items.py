"""The catalogue. A write is answered once this replica's own view shows it."""

from __future__ import annotations

from typing import TypeVar

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.api import cursors
from service.api.access import CATALOG, RECOMMEND
from service.api.body import answer, read_json
from service.api.limits import check_batch
from service.api.openapi import body_of, says
from service.api.parameters import Cursor, ItemId, NewItemId, PageLimit
from service.api.schemas.items import (
    ITEM_IN,
    ITEM_PATCH,
    ITEMS_IN,
    ItemIn,
    ItemPage,
    ItemPatch,
    ItemsIn,
    ItemsWritten,
    StoredItem,
    item_out,
)
from service.api.services import Services, services_of
from service.domain.catalogue import Item
from service.errors import BadRequest, NotFound

router = APIRouter(tags=["catalogue"])

T = TypeVar("T")


@router.put(
    "/v1/items/{item_id}",
    dependencies=[Depends(CATALOG)],
    openapi_extra=body_of(ItemIn),
    response_class=Response,
    responses={**says(StoredItem, 200, 413, 415), **says(StoredItem, 201)},
)
async def put_item(request: Request, item_id: NewItemId) -> Response:
    """Make or replace an item: 201 when it was made, 200 when it was replaced."""
    services = services_of(request)
    wanted = await _body(request, services, ITEM_IN)
    if wanted.item_id not in (None, item_id):
        message = "must be the id in the path"
        raise BadRequest(f"item_id {message}", ((("body", "item_id"), message),))
    item, created = await to_thread.run_sync(services.catalogue.put, wanted.item(item_id))
    await _show(services, [item])
    return answer(item_out(item), 201 if created else 200)


@router.patch(
    "/v1/items/{item_id}",
    dependencies=[Depends(CATALOG)],
    openapi_extra=body_of(ItemPatch),
    response_class=Response,
    responses=says(StoredItem, 200, 404, 413, 415),
)
async def patch_item(request: Request, item_id: ItemId) -> Response:
    """Change the named fields of an item."""
    services = services_of(request)
    changes = (await _body(request, services, ITEM_PATCH)).changes()
    item = await to_thread.run_sync(services.catalogue.patch, item_id, changes)
    await _show(services, [item])
    return answer(item_out(item))


@router.get(
    "/v1/items/{item_id}",
    dependencies=[Depends(RECOMMEND)],
    response_class=Response,
    responses=says(StoredItem, 200, 404),
)
async def get_item(request: Request, item_id: ItemId) -> Response:
    """One item of the catalogue."""
    item = await to_thread.run_sync(services_of(request).catalogue.get, item_id)
    return answer(item_out(item))


@router.delete(
    "/v1/items/{item_id}",
    status_code=204,
    dependencies=[Depends(CATALOG)],
    response_class=Response,
    responses=says(None, 204, 404),
)
async def delete_item(request: Request, item_id: ItemId) -> Response:
    """Take an item out of all answers, until the next PUT; later events do not revive it."""
    services = services_of(request)
    try:
        gone = await to_thread.run_sync(services.catalogue.delete, item_id)
    except NotFound:
        gone = await _bury_named(services, item_id)
    await _show(services, [gone])
    return Response(status_code=204)


@router.get(
    "/v1/items",
    dependencies=[Depends(RECOMMEND)],
    response_class=Response,
    responses=says(ItemPage, 200),
)
async def list_items(request: Request, limit: PageLimit = 100, cursor: Cursor = None) -> Response:
    """The catalogue by item id, a page at a time."""
    after = None if cursor is None else cursors.read(cursor, tuple[str])[0]
    found, last = await to_thread.run_sync(services_of(request).catalogue.list, limit, after)
    next_cursor = None if last is None else cursors.make(last)
    return answer({"items": [item_out(item) for item in found], "next_cursor": next_cursor})


@router.post(
    "/v1/items",
    dependencies=[Depends(CATALOG)],
    openapi_extra=body_of(ItemsIn),
    response_class=Response,
    responses=says(ItemsWritten, 200, 413, 415, 422),
)
async def post_items(request: Request) -> Response:
    """Make or replace many items: all of them, or none."""
    services = services_of(request)
    batch = (await _body(request, services, ITEMS_IN)).items
    check_batch(len(batch), "items", services.settings.limits)
    _check_distinct([one.item_id for one in batch])
    items = [one.item(one.item_id) for one in batch]
    written = await to_thread.run_sync(services.catalogue.put_many, items)
    await _show(services, [item for item, _ in written])
    created = sum(made for _, made in written)
    return answer({"written": len(written), "created": created})


async def _body(request: Request, services: Services, adapter: TypeAdapter[T]) -> T:
    return await read_json(request, adapter, max_bytes=services.settings.limits.max_body_bytes)


async def _show(services: Services, items: list[Item]) -> None:
    await to_thread.run_sync(services.feed.apply, items)


async def _bury_named(services: Services, item_id: str) -> Item:
    """A tombstone for an item that only events, or the model, have named.

    Raises:
        NotFound: nobody has named it, or it has its tombstone already.
    """
    entry = services.feed.view.entry(item_id)
    known = item_id in services.watcher.served.model.items
    if entry is not None or not (known or await services.popularity.known(item_id)):
        raise NotFound("there is no such item")
    return await to_thread.run_sync(services.catalogue.bury, item_id)


def _check_distinct(item_ids: list[str]) -> None:
    seen: set[str] = set()
    found = []
    for place, item_id in enumerate(item_ids):
        if item_id in seen:
            found.append((("body", "items", place, "item_id"), "stands in the batch before"))
        seen.add(item_id)
    if found:
        raise BadRequest("An item may stand once in a batch.", tuple(found))
