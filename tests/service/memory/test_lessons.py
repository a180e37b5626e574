"""Lessons for the mixer: written down before the memory has seen what came, bounded, once each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.content.features import Content, HashedTokens
from models.content.neighbours import ContentIndex
from models.mixing.blend import Blend
from models.mixing.features import names, place_of_rank
from models.mixing.recorded import Recorded
from models.sources import SOURCES
from service.domain.interactions import Interaction
from service.domain.online import Shown
from service.domain.recommendations import SESSION
from service.errors import CorruptEntry
from service.settings import Settings
from service.storage.clock import HOUR_MS, now_ms
from service.storage.keys import Keys
from service.storage.lessons import is_of_answer, pack, unpack
from service.storage.online import Given, OnlineStore
from service.storage.receipts import OTHER, Receipts
from tests.service.learner.world import clicks, post
from tests.service.memory.world import END, World, opened, settings_of, settle, told


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


def test_lessons_hear_what_text_says_of_what_never_happened(generous: Settings) -> None:
    index = HashedTokens()
    said = {"b": "tea green", "new": "tea white", "other": "screws", "late": "tea black"}
    rows = index.rows([Content(title=text) for text in said.values()])
    texts = ContentIndex.empty(index.width, 10).with_rows(dict(zip(said, rows, strict=True)))
    first = [Interaction("one", item, "click", at, item) for at, item in enumerate("ab")]
    with opened(generous) as world:
        keeper = world.keeper(content=lambda: texts)
        post(generous, first)
        settle(keeper)
        post(generous, [Interaction("one", "new", "click", 60_000, "n")])
        settle(keeper)
        lesson = unpack(told(world)[-1][1])
        assert lesson.items[lesson.target] == "new"
        assert {"late", "new"} < set(lesson.items)
        assert "other" not in lesson.items
        rank = place_of_rank(lesson.sources, "content")
        assert float(lesson.features[lesson.target, rank]) in (0.5, 1.0)
        of_item = lesson.features[lesson.target, names(lesson.sources).index("events")]
        assert float(of_item) == 0.0, "it had not happened"


def test_a_basket_is_nobodys_history(generous: Settings) -> None:
    at_once = [Interaction("u", item, "click", 9_000, item) for item in "ab"]
    with opened(generous) as world:
        keeper = world.keeper()
        for events in ([Interaction("v", item, "click", 1, item) for item in "ab"], at_once):
            post(generous, events)
            settle(keeper)
        assert [unpack(data).history for _, data in told(world)] == [(), ()]


def answer(
    world: World, shown: str, user: str = "u", *, kind: str = SESSION, ago_h: float = 0.0
) -> str:
    """An answer that showed these items, kept; its id."""
    receipts, time_ms = Receipts(world.stores.secret()), now_ms() - round(ago_h * HOUR_MS)
    id_, receipt = receipts.issue(1, kind, time_ms, user)
    told_of = Shown(1, tuple(shown), ("model",) * len(shown))
    store = OnlineStore(world.stores.client, world.stores.keys, world.settings.online)
    store.keep([Given(receipt.nonce, time_ms, told_of, told_of.counts(None))], {}, time_ms)
    return id_


def ways_of(*users: str) -> list[Interaction]:
    """Each takes a, b, c, d, in this order."""
    return [
        Interaction(user, item, "click", 1_000 * (10 * at + place), f"{user}-{place}")
        for at, user in enumerate(users)
        for place, item in enumerate("abcd")
    ]


def test_of_an_answer_what_was_taken_is_held_against_what_was_seen_beside(
    generous: Settings,
) -> None:
    """All of it, and how far down it was looked at; of items that the memory knows; under the
    event's own name."""
    with opened(generous) as world:
        keeper = world.keeper()
        post(generous, ways_of("one", "two"))
        settle(keeper)
        before = len(told(world))
        id_ = answer(world, "dxcab")
        taken = Interaction("u", "c", "click", 50_000, "e", recommendation_id=id_)
        last = post(generous, [taken])
        settle(keeper)
        (whole_at, whole), (at, found) = told(world)[before:]
        assert whole_at == at == last
        lesson, ordinary = unpack(found), unpack(whole)
        receipt = Receipts(world.stores.secret()).read(id_)
        assert receipt is not None
        assert lesson.answer == receipt.nonce
        assert (lesson.items, lesson.target, lesson.looked) == (("d", "c", "a", "b"), 1, 3)
        assert (ordinary.answer, ordinary.items[ordinary.target]) == ("", "c")
        assert lesson.history == ordinary.history
        places = [ordinary.items.index(item) for item in lesson.items]
        assert np.array_equal(lesson.features, ordinary.features[places])
        assert told(world, last, END) == []
        post(generous, [taken])
        settle(keeper)
        assert len(told(world)) == before + 2, "a repeat teaches nothing"


@pytest.mark.parametrize(
    "event",
    [
        {"item_id": "b", "type": "impression"},
        {"item_id": "b", "type": "skip"},
        {"item_id": "d"},  # was not shown
        {"item_id": "b", "user_id": "another"},
        {"item_id": "b", "recommendation_id": "r-forged"},
        {"item_id": "b", "recommendation_id": None},
        {"item_id": "b", "kind": OTHER},
        {"item_id": "b", "ago_h": 10_000.0},
        {"item_id": "b", "shown": "b"},
        {"item_id": "b", "shown": "bxyz"},  # of which the memory knows one
    ],
    ids=str,
)
def test_no_answer_no_lesson_of_one(generous: Settings, event: dict[str, Any]) -> None:
    with opened(generous) as world:
        keeper = world.keeper()
        post(generous, ways_of("one", "two"))
        settle(keeper)
        of = {name: event[name] for name in ("kind", "ago_h") if name in event}
        id_ = answer(world, event.get("shown", "abc"), **of)
        told_of = {"user_id": "u", "type": "click", "recommendation_id": id_} | {
            name: value for name, value in event.items() if name not in ("kind", "ago_h", "shown")
        }
        post(generous, [Interaction(time_ms=50_000, event_id="e", **told_of)])
        settle(keeper)
        found = [unpack(data) for _, data in told(world)]
        assert bool(found) == ("type" not in event), "of what is no positive signal, none at all"
        assert not any(lesson.answer for lesson in found)


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


def test_who_does_much_at_once_is_not_all_that_is_taught(generous: Settings) -> None:
    alone = [Interaction("busy", f"i{n % 7}", "click", 1_000 * n, f"e{n}") for n in range(100)]
    with opened(generous) as world:
        post(generous, alone, batch=100)
        settle(world.keeper())
        post(generous, [replace(one, event_id=f"again-{one.event_id}") for one in alone], batch=100)
        settle(world.keeper())
        found = told(world)
    assert 1 <= len(found) <= 8, "four of each step"


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
    listed = replace(lesson, answer="an answer", looked=3)
    for one in (lesson, listed):
        found = unpack(pack(one))
        assert (found.sources, found.items, found.target) == (lesson.sources, lesson.items, 2)
        assert (found.answer, found.looked) == (one.answer, one.looked)
        assert is_of_answer(pack(one)) == bool(one.answer)
        assert np.array_equal(found.features, features)
    for broken in (
        b"",
        b"junk",
        pack(lesson)[1:],
        pack(lesson)[:-5],
        pack(replace(lesson, target=3)),
        pack(replace(listed, looked=2)),
        pack(replace(listed, looked=4)),
    ):
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
