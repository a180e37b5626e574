"""Everything the service holds, to a file: events, the catalogue, or who has events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer

from service.cli.moving.held import HeldEvents
from service.cli.moving.looking import bar
from service.cli.moving.writers import Time, writing
from service.cli.stores import open_database, open_redis
from service.domain.catalogue import Item
from service.domain.interactions import Interaction
from service.settings import Settings
from service.storage.archive import Archive
from service.storage.catalogue import CatalogueStore
from service.storage.event_log import EventLog
from service.storage.keys import Keys

EVENTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("type", pa.string()),
        ("value", pa.float64()),
        ("timestamp", Time),
        ("event_id", pa.string()),
        ("recommendation_id", pa.string()),
    ]
)
ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("tags", pa.list_(pa.string())),
        ("available", pa.bool_()),
        ("published_at", Time),
        ("attributes", pa.string()),
    ]
)
USERS = pa.schema(
    [
        ("user_id", pa.string()),
        ("events", pa.int64()),
        ("first_event_at", Time),
        ("last_event_at", Time),
    ]
)
_TOGETHER = 5_000


def write_events(path: Path, settings: Settings, force: bool) -> int:
    """Write all events; how many.

    Raises:
        BadRequest: the file cannot be written.
        Unavailable: the log's server does not answer.
        CorruptEntry: a file of the archive cannot be read.
    """
    with _held(settings) as events:
        return _write(path, EVENTS, map(_event, events), events.most, force)


def write_users(path: Path, settings: Settings, force: bool) -> int:
    """Write who has events, in the order of the first arrivals; how many. Raises as
    `write_events` does."""
    with _held(settings) as events:
        users: dict[str, dict[str, Any]] = {}
        with bar("reading", events.most) as show:
            for number, event in enumerate(events):
                _count(users, event)
                show(number)
        return _write(path, USERS, users.values(), len(users), force)


def write_items(path: Path, settings: Settings, force: bool) -> int:
    """Write the catalogue; how many items.

    Raises:
        BadRequest: the file cannot be written.
        Unavailable: the database does not answer.
    """
    with open_database(settings) as engine:
        return _write(path, ITEMS, map(_item, _catalogue(CatalogueStore(engine))), None, force)


@contextmanager
def _held(settings: Settings) -> Iterator[HeldEvents]:
    directory = settings.data_dir / "archive"
    with open_redis(settings) as client:
        log = EventLog(client, Keys(settings.namespace))
        events = HeldEvents(Archive(directory), log, settings.log)
        if events.missing:
            typer.echo(
                f"{events.missing} events that the log has taken are not here: {directory} is not"
                " the whole archive, or entries could not be read",
                err=True,
            )
        yield events


def _write(
    path: Path,
    schema: pa.Schema,
    records: Iterable[Mapping[str, Any]],
    total: int | None,
    force: bool,
) -> int:
    written, rest = 0, iter(records)
    with writing(path, schema, force) as write, bar("writing", total) as show:
        while rows := list(islice(rest, _TOGETHER)):
            write(rows)
            written += len(rows)
            show(written)
    return written


def _event(event: Interaction) -> dict[str, Any]:
    record = {name: getattr(event, name) for name in EVENTS.names if name != "timestamp"}
    return record | {"timestamp": event.time_ms}


def _item(item: Item) -> dict[str, Any]:
    record = {name: getattr(item, name) for name in ITEMS.names if name != "published_at"}
    return record | {"published_at": item.published_ms}


def _count(users: dict[str, dict[str, Any]], event: Interaction) -> None:
    at = event.time_ms
    user = users.get(event.user_id)
    if user is None:
        first = {"events": 0, "first_event_at": at, "last_event_at": at}
        user = users[event.user_id] = {"user_id": event.user_id, **first}
    user["events"] += 1
    user["first_event_at"] = min(user["first_event_at"], at)
    user["last_event_at"] = max(user["last_event_at"], at)


def _catalogue(store: CatalogueStore) -> Iterator[Item]:
    items, cursor = store.list(_TOGETHER)
    yield from items
    while cursor is not None:
        items, cursor = store.list(_TOGETHER, cursor)
        yield from items
