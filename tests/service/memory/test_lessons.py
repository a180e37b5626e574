"""Lessons for the mixer: written down before the memory has seen what came, bounded, once each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.mixing.blend import Blend
from models.mixing.features import place_of_rank
from models.mixing.recorded import Recorded
from models.sources import SOURCES
from service.domain.interactions import Interaction
from service.errors import CorruptEntry
from service.settings import Settings
from service.storage.keys import Keys
from service.storage.lessons import pack, unpack
from tests.service.learner.world import clicks, post
from tests.service.memory.world import World, opened, settings_of, settle, told


@pytest.fixture
def generous(tmp_path: Path, redis_url: str, sqlite_url: str, keys: Keys) -> Settings:
    """Every positive event is a lesson, if what came is among the candidates."""
    wanted: dict[str, Any] = {
        "lesson_share": 1.0,
        "lessons_per_batch": 1_000,
        "batch_events": 100,
    }
    return settings_of(tmp_path / "data", redis_url, sqlite_url, keys.namespace, **wanted)


def test_a_lesson_is_what_was_known_before_it_came(generous: Settings) -> None:
    """Somebody goes a way that others have gone; on the first one nobody knew what would come."""
    ways = [
        Interaction(user, item, "click", 1_000 * (10 * at + place), f"{user}-{place}")
        for at, user in enumerate(("one", "two"))
        for place, item in enumerate(("a", "b", "c"))
    ]
    with opened(generous) as world:
        keeper = world.keeper()
        post(generous, [*ways[:3], Interaction("one", "d", "impression", 5_000, "no-signal")])
        settle(keeper)
        assert told(world) == [], "of items that the memory had not met"
        last = post(generous, [ways[3], replace(ways[4], type="cart"), ways[5]])
        settle(keeper)
        found = told(world)
        assert {position for position, _ in found} == {last}
        lessons = [unpack(data) for _, data in found]
        assert [one.items[one.target] for one in lessons] == ["a", "b", "c"]
        assert [one.history for one in lessons] == [(), ("a",), ("a", "b")]
        assert [one.type for one in lessons] == ["click", "cart", "click"]
        rank = place_of_rank(lessons[0].sources, "rules")
        assert [float(one.features[one.target, rank]) for one in lessons] == [0.0, 1.0, 1.0]
        assert not lessons[1].features[:, place_of_rank(lessons[0].sources, "network")].any()
        post(generous, ways)
        settle(keeper)
        assert told(world) == found, "repeats teach nothing"


def test_a_basket_is_nobodys_history(generous: Settings) -> None:
    at_once = [Interaction("u", item, "click", 9_000, item) for item in "ab"]
    with opened(generous) as world:
        keeper = world.keeper()
        for events in ([Interaction("v", item, "click", 1, item) for item in "ab"], at_once):
            post(generous, events)
            settle(keeper)
        assert [unpack(data).history for _, data in told(world)] == [(), ()]


def test_they_are_a_bounded_sample_that_events_alone_decide(generous: Settings) -> None:
    events = clicks(300)
    with opened(generous) as world:
        post(generous, events, batch=100)
        settle(world.keeper())
        everything = told(world)
    assert 150 < len(everything) <= 200
    few = generous.memory.model_copy(
        update={"lesson_share": 0.25, "lessons_per_batch": 20, "lessons": 30}
    )
    with opened(_anew(generous, memory=few)) as world:
        settle(world.keeper())
        sample = told(world)
        assert len(sample) == world.stores.client.xlen(world.stores.keys.memory_lessons) == 30
        whole = {
            (position, unpack(data).items[unpack(data).target]) for position, data in everything
        }
        assert {(at, unpack(data).items[unpack(data).target]) for at, data in sample} <= whole
        assert len({position for position, _ in sample}) == 2, "the latest, 20 of a batch at most"
        settle_again(world)
        assert told(world) == sample


def settle_again(world: World) -> None:
    """A memory that begins anew tells the log again, and takes back what it told before."""
    state = world.stores.memory.state()
    assert state is not None
    lost = replace(state, format=0)
    world.stores.client.hset(world.stores.keys.memory, "state", msgspec.json.encode(lost))
    settle(world.keeper())


def _anew(settings: Settings, **changed: Any) -> Settings:
    """The same log, the memory gone."""
    settings = settings.model_copy(update=changed)
    with opened(settings) as world:
        for key in world.stores.client.scan_iter(f"{world.stores.keys.memory}*"):
            world.stores.client.delete(key)
    return settings


@pytest.mark.parametrize(
    "off", [{"lesson_share": 0.0}, {"lessons": 0}, {"lessons_per_batch": 0}, {}, None]
)
def test_they_can_be_turned_off(generous: Settings, off: dict[str, Any] | None) -> None:
    changed: dict[str, Any] = {"memory": generous.memory.model_copy(update=off or {})}
    if off is None:
        changed["serving"] = generous.serving.model_copy(update={"sources": ()})
    settings = generous.model_copy(update=changed)
    with opened(settings) as world:
        for part in (0, 50):
            post(settings, clicks(100)[part : part + 50])
            settle(world.keeper())
        assert bool(told(world)) == (off == {})


def test_a_stretch_of_the_log_is_read_from_its_end(generous: Settings) -> None:
    with opened(generous) as world:
        post(generous, clicks(200))
        settle(world.keeper())
        post(generous, clicks(200, seed=1))
        settle(world.keeper())
        every = told(world)
        places = sorted({position for position, _ in every})
        assert len(every) > 100
        assert told(world, most=70) == every[-70:]
        after, until = places[1], places[-2]
        assert told(world, after, until) == [one for one in every if after < one[0] <= until]


def test_bytes_are_read_back_and_others_are_refused() -> None:
    blend = Blend.of()
    features = np.random.default_rng(0).random((3, 41)).astype(np.float16)
    lesson = Recorded(blend.names, "click", ("a",), ("b", "c", "d"), features, 2)
    found = unpack(pack(lesson))
    assert (found.sources, found.items, found.target) == (lesson.sources, lesson.items, 2)
    assert np.array_equal(found.features, features)
    for broken in (b"", b"junk", pack(lesson)[:-5], pack(replace(lesson, target=3))):
        with pytest.raises(CorruptEntry):
            unpack(broken)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ("own", "must be a list"),
        ('["nobody"]', "'nobody' is no source; there are covisits"),
        ('["own","own"]', "more than once"),
    ],
)
def test_sources_are_checked_at_the_start(
    monkeypatch: pytest.MonkeyPatch, sources: str, said: str
) -> None:
    monkeypatch.setenv("FRESHET_SERVING__SOURCES", sources)
    with pytest.raises(ValueError, match=said):
        Settings(_env_file=None)
    monkeypatch.setenv("FRESHET_SERVING__SOURCES", '["own", "walk"]')
    assert Settings(_env_file=None).serving.sources == ("own", "walk")
    monkeypatch.setenv("FRESHET_SERVING__SOURCES", "[]")
    assert Settings(_env_file=None).serving.sources == ()
    assert Settings.model_fields["serving"].default.sources == tuple(SOURCES)
