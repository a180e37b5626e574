"""A file of items into the catalogue, checked as `POST /v1/items` does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from service.api.schemas.items import BatchItemIn
from service.cli.moving.cells import item_field
from service.cli.moving.looking import Patience, bar, look, sentence
from service.cli.stores import open_database
from service.domain.catalogue import Item
from service.errors import Unavailable
from service.settings import Settings
from service.storage.catalogue import CatalogueStore
from service.streams import Record, read_lines


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has done."""

    items: int
    made: int
    """Of them, those that the catalogue did not have."""
    skipped: int


def import_file(path: Path, settings: Settings, skip: bool) -> Imported:
    """Write all items of a file; what is there is replaced, tombstones too.

    Args:
        skip: pass over bad lines; otherwise one is enough for nothing to be written.

    Raises:
        BadStream: the file cannot be read, or a line is no item.
        Unavailable: the database does not answer at the start.
    """
    most_bytes = settings.limits.max_body_bytes
    with open_database(settings) as engine:
        good, bad = look(path, item_rows(path, most_bytes), skip, lambda _: None)
        catalogue, patience = CatalogueStore(engine), Patience()
        made, done, batch = 0, 0, list[Item]()
        with bar("importing", good) as show:
            for _, item in item_rows(path, most_bytes):
                if isinstance(item, ValueError):
                    continue
                batch.append(item)
                show(done + len(batch))
                if len(batch) == settings.limits.max_batch:
                    made += _put(catalogue, batch, patience)
                    done, batch = done + len(batch), []
            if batch:
                made += _put(catalogue, batch, patience)
    return Imported(done + len(batch), made, bad)


def item_rows(path: Path, most_bytes: int) -> Iterator[tuple[int, Item | ValueError]]:
    """(line, item, or why it is none); an item may stand in a file once.

    Args:
        most_bytes: what an item may have as JSON.
    """
    lines: dict[str, int] = {}
    for line, found in read_lines(path, ("item_id",)):
        item = found if isinstance(found, ValueError) else _item(found, most_bytes)
        if isinstance(item, Item):
            first = lines.setdefault(item.item_id, line)
            if first != line:
                item = ValueError(f"item_id: stands on line {first}, too")
        yield line, item


def _item(record: Record, most_bytes: int) -> Item | ValueError:
    """The item of a record; what is empty is not named."""
    try:
        named = {
            name: item_field(name, value)
            for name, value in record.items()
            if value is not None and value != ""
        }
        text = json.dumps(named)
        if len(text) > most_bytes:
            return ValueError(f"has more than {most_bytes} bytes")
        item = BatchItemIn.model_validate_json(text)
    except ValidationError as error:
        return ValueError(sentence(error))
    except (ValueError, TypeError) as error:
        return ValueError(str(error))
    return item.item(item.item_id)


def _put(catalogue: CatalogueStore, batch: list[Item], patience: Patience) -> int:
    """Write a batch, however long the database makes it wait; how many items are new."""
    while True:
        try:
            return sum(made for _, made in catalogue.put_many(batch))
        except Unavailable as error:
            patience.say(error)
            time.sleep(error.retry_after_s)
