"""`freshet import items`: what `POST /v1/items` takes, from a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.domain.catalogue import Item
from service.streams import BadStream
from tests.service.cli.moving.conftest import Place, write

FULL = Item(
    "i1",
    title="One",
    description="two\nlines",
    categories=("a", "b c"),
    tags=("t|u",),
    available=False,
    published_ms=1_767_225_600_000,
    attributes={"price": 1.5, "deep": {"er": [1, None]}},
)


def content(item: Item) -> tuple[Any, ...]:
    names = ("item_id", "title", "description", "categories", "tags", "available")
    described = tuple(getattr(item, name) for name in names)
    return (*described, item.published_ms, item.attributes)


@pytest.mark.parametrize("kind", ["csv", "jsonl.gz", "parquet"])
def test_each_format_says_the_same(place: Place, tmp_path: Path, kind: str) -> None:
    cells = {"categories": "a|b c", "tags": '["t|u"]', "available": "false"}
    lists = {"categories": ["a", "b c"], "tags": ["t|u"], "available": False}
    published = datetime(2026, 1, 1, tzinfo=UTC) if kind == "parquet" else "2026-01-01T00:00:00Z"
    full = {
        "item_id": "i1",
        "title": "One",
        "description": "two\nlines",
        **(cells if kind == "csv" else lists),
        "published_at": published,
        "attributes": '{"price": 1.5, "deep": {"er": [1, null]}}',
    }
    bare = dict.fromkeys(full, "" if kind == "csv" else None) | {"item_id": "i2"}
    file = write(tmp_path / f"items.{kind}", [full, bare])
    said = place.freshet("import", "items", file)
    assert said.exit_code == 0, said.exception
    assert said.stdout == "2 items written, 2 of them new\n"
    assert content(place.catalogue.get("i1")) == content(FULL)
    assert content(place.catalogue.get("i2")) == content(Item("i2"))


def test_twice_is_the_same_and_replicas_are_told(place: Place, tmp_path: Path) -> None:
    rows = [{"item_id": f"i{at}", "categories": "a|a"} for at in range(25)]
    file = write(tmp_path / "items.csv", rows)
    place.catalogue.put(Item("i3", title="before"))
    place.catalogue.delete("i3")
    revision = place.catalogue.revision()
    said = place.freshet("import", "items", file, LIMITS__MAX_BATCH=10)
    assert said.stdout == "25 items written, 25 of them new\n"
    changed = place.catalogue.changes_since(revision)
    assert {item.revision for item in changed} == {revision + 1, revision + 2, revision + 3}
    assert [item.categories for item in changed] == [("a",)] * 25
    said = place.freshet("import", "items", file)
    assert said.stdout == "25 items written, 0 of them new\n"
    assert len(place.catalogue.list(100)[0]) == 25


BAD = (
    "item_id,title,categories,attributes,available,published_at,price\n"
    "a,,,,,,\n"
    ",,,,,,\n"
    "popular,,,,,,\n"
    "a,,,,,,\n"
    'b,,"[""x""",,,,\n'
    "c,,,7,,,\n"
    'd,,,"{""x"": NaN}",,,\n'
    "e,,,,perhaps,,\n"
    "f,,,,,2026-01-01,\n"
    "g,,,,,,3\n"
    "h,,x||y,,,,\n"
    f"i,{1_001 * 't'},,,,,\n"
    "j\n"
    "k,,,,1,,\n"
)


def test_bad_lines_are_told_and_skipped_or_stop_everything(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text(BAD)
    said = place.freshet("import", "items", file)
    assert isinstance(said.exception, BadStream)
    assert "line 3: item_id: " in str(said.exception)
    assert place.catalogue.revision() == 0
    said = place.freshet("import", "items", file, "--on-error", "skip")
    assert said.stdout == "2 items written, 2 of them new; 12 lines skipped\n"
    fields = [line.split(" skipped: ")[1].split(":")[0] for line in said.stderr.splitlines()]
    assert fields == [
        "item_id",
        "item_id",
        "item_id",
        """'["x"' is no JSON""",
        "attributes",
        "attributes",
        "available",
        "published_at",
        "price",
        "categories.1",
        "title",
        "1 cells where the header has 7",
    ]
    assert "line 5 skipped: item_id: stands on line 2, too" in said.stderr
    assert [item.item_id for item in place.catalogue.list(9)[0]] == ["a", "k"]


def test_a_database_without_tables_is_a_sentence(place: Place, tmp_path: Path) -> None:
    file = write(tmp_path / "items.csv", [{"item_id": "a"}])
    said = place.freshet("import", "items", file, DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite")
    assert "freshet migrate" in str(said.exception)
