"""The catalogue: every write has a revision, tombstones stay, nothing is missed."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine

from service.domain.catalogue import Item
from service.errors import BadRequest, NotFound
from service.storage.catalogue import CatalogueStore


@pytest.fixture
def catalogue(engine: Engine) -> CatalogueStore:
    return CatalogueStore(engine)


FULL = Item(
    "ü/∞",
    title="A \0 thing \ud800",
    description="long",
    categories=("a", "b"),
    tags=("t",),
    available=False,
    published_ms=12,
    attributes={"deep": [1, {"x": None}], "huge": 10**30, "nul\0": "\0"},
)


def test_an_item_comes_back_as_it_was_put(catalogue: CatalogueStore) -> None:
    put, made = catalogue.put(FULL)
    assert made
    assert (put.revision, put.deleted) == (1, False)
    assert catalogue.get(FULL.item_id) == put
    assert put.attributes == FULL.attributes
    again, made = catalogue.put(Item("ü/∞", title="other"))
    assert not made
    assert catalogue.get("ü/∞") == again
    assert again.categories == ()


def test_numbers_that_json_lacks_are_stored_as_null(catalogue: CatalogueStore) -> None:
    catalogue.put(Item("i", attributes={"x": float("nan")}))
    assert catalogue.get("i").attributes == {"x": None}


def test_patching_changes_what_is_named(catalogue: CatalogueStore) -> None:
    catalogue.put(Item("i", title="t", categories=("a",)))
    patched = catalogue.patch("i", {"available": False, "tags": ("new",)})
    assert (patched.title, patched.categories) == ("t", ("a",))
    assert (patched.available, patched.tags, patched.revision) == (False, ("new",), 2)
    assert catalogue.get("i") == patched
    with pytest.raises(BadRequest):
        catalogue.patch("i", {"item_id": "other"})
    with pytest.raises(NotFound):
        catalogue.patch("unknown", {"title": "x"})
    assert catalogue.revision() == 2, "a failed write takes no revision"


def test_a_tombstone_stays_until_the_next_put(catalogue: CatalogueStore) -> None:
    catalogue.put(Item("i", title="t"))
    grave = catalogue.delete("i")
    assert (grave.deleted, grave.revision, grave.title) == (True, 2, "")
    for look in (catalogue.get, catalogue.delete):
        with pytest.raises(NotFound):
            look("i")
    assert catalogue.changes_since(1) == [grave]
    assert catalogue.list(10) == ([], None)
    _, made = catalogue.put(Item("i"))
    assert made
    assert not catalogue.get("i").deleted


def test_updates_leave_when_an_item_was_made(
    catalogue: CatalogueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1_000, 9_000, 1_000))
    monkeypatch.setattr("service.storage.catalogue.now_ms", lambda: next(clock))
    catalogue.put(Item("i"))
    patched = catalogue.patch("i", {"title": "t"})
    replaced, _ = catalogue.put(Item("i", available=False))
    assert [(item.created_ms, item.updated_ms) for item in (patched, replaced)] == [
        (1_000, 2_000),
        (1_000, 3_000),
    ]
    assert catalogue.get("i") == replaced
    catalogue.delete("i")
    again, _ = catalogue.put(Item("i"))
    assert again.created_ms == 5_000, "what was deleted and is put again is made anew"


def test_a_batch_is_all_or_nothing(catalogue: CatalogueStore) -> None:
    with pytest.raises(BadRequest):
        catalogue.put_many([Item("good"), Item("b\0d")])
    assert catalogue.changes_since(0) == []
    results = catalogue.put_many([Item("a"), Item("b"), Item("a", title="last")])
    assert [made for _, made in results] == [True, True, False]
    assert catalogue.get("a").title == "last"
    assert {item.revision for item in catalogue.changes_since(0)} == {1}


def test_pages_by_id(catalogue: CatalogueStore) -> None:
    catalogue.put_many([Item(f"i{n}") for n in range(5)])
    catalogue.delete("i2")
    first, cursor = catalogue.list(2)
    second, end = catalogue.list(2, cursor)
    assert [item.item_id for item in first + second] == ["i0", "i1", "i3", "i4"]
    assert (cursor, end) == ("i1", None)
    with pytest.raises(BadRequest):
        catalogue.list(2, "\0")


def test_a_follower_of_changes_misses_none(catalogue: CatalogueStore) -> None:
    """Four writers, one reader that goes on from the last revision it has seen."""
    seen: dict[str, int] = {}
    done = threading.Event()

    def write(name: str) -> None:
        for n in range(15):
            catalogue.put(Item(f"{name}{n}"))

    def follow() -> None:
        last = 0
        while True:
            finished = done.is_set()
            for item in catalogue.changes_since(last):
                seen[item.item_id], last = item.revision, item.revision
            if finished:
                return

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    reader = threading.Thread(target=follow)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert len(seen) == 60
    assert sorted(seen.values()) == list(range(1, 61))


def test_burying_is_for_what_the_catalogue_never_had(catalogue: CatalogueStore) -> None:
    buried = catalogue.bury("named")
    assert (buried.deleted, buried.revision) == (True, 1)
    assert catalogue.changes_since(0) == [buried]
    assert catalogue.bury("named") == buried
    put, made = catalogue.put(Item("named", title="back"))
    assert made
    assert catalogue.bury("named") == put, "a put that came before stays"
    assert catalogue.get("named") == put
    assert catalogue.revision() == 2
