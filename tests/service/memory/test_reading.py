"""The catalogue as the fast memory's process reads it, for its lessons."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from models.content.features import Content, HashedTokens, Row
from service.domain.catalogue import Item
from service.domain.interactions import Interaction
from service.memory.process import run
from service.memory.reading import Reader, reading
from service.sections import ContentSettings
from service.settings import Settings
from service.storage.catalogue import CatalogueStore
from service.storage.keys import Keys
from service.storage.lessons import unpack
from tests.service.learner.world import post
from tests.service.memory.world import World, opened, settings_of, told


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, sqlite_url: str, keys: Keys) -> Settings:
    return settings_of(tmp_path / "data", redis_url, sqlite_url, keys.namespace)


def reader_of(world: World, vectoriser: Any = None, **content: Any) -> Reader:
    chosen = vectoriser or HashedTokens()
    return Reader(world.stores.catalogue, chosen, ContentSettings(**content))


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_writes_and_tombstones_are_followed_within_bounds(settings: Settings) -> None:
    with opened(settings) as world:
        catalogue = world.stores.catalogue
        catalogue.put_many([Item("a", title="green tea"), Item("b", title="tea")])
        reader = reader_of(world, max_items=2)
        reader.poll()
        assert [name for name, _ in reader.index.similar("a", 5)] == ["b"]
        catalogue.put(Item("c", title="tea"))
        catalogue.delete("b")
        reader.poll()
        assert [one in reader.index for one in "abc"] == [True, False, False]
        catalogue.put(Item("a", title="screws"))
        reader.poll()
        assert reader.index.row("a").columns.tolist() == row("screws").columns.tolist()


def row(title: str) -> Row:
    return HashedTokens().rows([Content(title=title)])[0]


class Choking(HashedTokens):
    """Reads everything but one text."""

    def rows(self, contents: Any) -> list[Row]:
        if any(content.title == "bone" for content in contents):
            raise ValueError("no")
        return super().rows(contents)


def test_what_breaks_on_a_text_is_left_out_once(settings: Settings) -> None:
    with opened(settings) as world:
        reader = reader_of(world, Choking())
        for title in ("bone", "tea"):
            world.stores.catalogue.put(Item(title, title=title))
            reader.poll()
        assert [one in reader.index for one in ("bone", "tea")] == [False, True]


def test_it_is_read_beside_the_counting_while_somebody_asks(settings: Settings) -> None:
    quick = settings.serving.model_copy(update={"catalogue_poll_s": 0.02})
    settings = settings.model_copy(update={"serving": quick})
    with opened(settings) as world, reading(world.stores.catalogue, settings) as content:
        assert content is not None
        world.stores.catalogue.put(Item("a", title="tea"))
        until(lambda: "a" in content())


@pytest.mark.parametrize(
    ("section", "off"),
    [
        ("serving", {"sources": ("walk",)}),
        ("content", {"max_items": 0}),
        ("memory", {"lessons": 0}),
        ("memory", {"lesson_share": 0.0}),
    ],
)
def test_nobody_asks_nobody_reads(settings: Settings, section: str, off: dict[str, Any]) -> None:
    changed = getattr(settings, section).model_copy(update=off)
    with (
        opened(settings) as world,
        reading(world.stores.catalogue, settings.model_copy(update={section: changed})) as content,
    ):
        assert content is None


def test_the_process_hears_text_in_its_lessons(settings: Settings) -> None:
    every = settings.memory.model_copy(update={"lesson_share": 1.0})
    quick = settings.serving.model_copy(update={"catalogue_poll_s": 0.02})
    settings = settings.model_copy(update={"memory": every, "serving": quick})
    process = multiprocessing.get_context("spawn").Process(target=run, args=(settings,))
    with opened(settings) as world:
        world.stores.catalogue.put_many([Item("old", title="tea"), Item("new", title="tea")])
        process.start()
        try:
            post(settings, [Interaction("u", "old", "click", 1_000, "first")])
            until(lambda: (state := world.stores.memory.state()) is not None and state.events == 1)
            for at in range(2, 60):  # until its first reading is over
                post(settings, [Interaction(f"u{at}", "old", "click", 1_000 * at, f"{at}")])
                fresh = f"new-{at}"
                world.stores.catalogue.put(Item(fresh, title="tea"))
                time.sleep(0.3)
                post(settings, [Interaction(f"u{at}", fresh, "click", 1_000 * at + 1, fresh)])
                time.sleep(0.5)
                came = [unpack(data) for _, data in told(world)]
                if any(one.items[one.target] == fresh for one in came):
                    break
            assert any(one.items[one.target].startswith("new-") for one in came)
        finally:
            process.terminate()
            process.join(10)
    assert process.exitcode == 0


def test_a_database_that_is_away_is_told_of_once_and_ends_nothing(settings: Settings) -> None:
    quick = settings.serving.model_copy(update={"catalogue_poll_s": 0.01})
    settings = settings.model_copy(update={"serving": quick})
    nowhere = CatalogueStore(create_engine("sqlite:////nowhere/at/all.db"))
    with capture_logs() as lines, reading(nowhere, settings) as content:
        until(lambda: bool(lines))
        time.sleep(0.1)
    assert content is not None
    assert len(content()) == 0
    assert len(lines) == 1
