"""Events that name an answer are joined with it once, or counted by why they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.domain.interactions import Interaction
from service.domain.online import Shown
from service.errors import Unavailable
from service.learner.joining import Joining
from service.online import report
from service.sections import WindowSettings
from service.storage import connections
from service.storage.clock import HOUR_MS, now_ms
from service.storage.online import Given, OnlineStore
from service.storage.receipts import OTHER, Receipts
from tests.conftest import free_port
from tests.service.learner.world import World, clicks, post, settle

SHOWN = Shown(1, ("A-1", "A-2", "A-3", "A-4"), ("model", "model", "popular", "popular"))


@pytest.fixture(autouse=True)
def _small_windows(world: World) -> None:
    world.settings = world.settings.model_copy(update={"window": WindowSettings(max_events=10)})


def online(world: World) -> OnlineStore:
    return OnlineStore(world.stores.client, world.stores.keys, world.settings.online)


def give(world: World, user_id: str | None = "A0", kind: str = "session", ago_h: int = 0) -> str:
    """Give an answer and keep it; its id."""
    receipts, time_ms = Receipts(world.stores.registry.secret()), now_ms() - ago_h * HOUR_MS
    text, receipt = receipts.issue(SHOWN.version, kind, time_ms, user_id)
    online(world).keep([Given(receipt.nonce, time_ms, SHOWN, SHOWN.counts(None))], {}, time_ms)
    return text


def event(id_: str, item_id: str = "A-1", type_: str = "click", user_id: str = "A0") -> Interaction:
    name = f"{id_}-{item_id}-{type_}-{user_id}"
    return Interaction(user_id, item_id, type_, now_ms(), name, recommendation_id=id_)


def learned(world: World, *events: Interaction) -> None:
    """Post the events and some others, and learn them."""
    post(world.settings, [*events, *clicks(10)])
    settle(world.learner())


def outcomes(world: World) -> dict[str, int]:
    found = online(world).figures().total
    return {name[7:]: int(number) for name, number in found.items() if name.startswith("events:")}


def told(world: World) -> dict[str, Any]:
    return report(online(world).figures().versions[1])


def test_what_follows_an_answer_counts_for_its_version_and_sources(world: World) -> None:
    one, _, third = (give(world) for _ in range(3))
    learned(
        world,
        event(one),
        event(one, "A-3", "purchase"),
        event(third, "A-2", "skip"),
        event(third, "A-2", "impression"),
    )
    found = told(world)
    assert (found["answers"], found["clicked"], found["converted"]) == (3, 1, 1)
    assert found["click_through"] == found["conversion"] == pytest.approx(1 / 3)
    assert (found["positive"], found["skips"], found["impressions"]) == (2, 1, 4 + 4 + 1)
    popular = found["sources"]["popular"]
    assert (popular["positive"], popular["conversions"], popular["impressions"]) == (1, 1, 4)
    assert popular["conversion"] == 0.25
    assert outcomes(world) == {"joined": 4}


def test_what_is_not_joined_is_counted_by_reason(world: World) -> None:
    good = give(world)
    foreign_service, _ = Receipts(b"another" * 4).issue(1, "session", now_ms(), None)
    lost, _ = Receipts(world.stores.registry.secret()).issue(1, "session", now_ms(), None)
    learned(
        world,
        event("r-" + "A" * 40),
        event(foreign_service),
        event(good, user_id="A2"),
        event(give(world, ago_h=25)),
        event(give(world, kind=OTHER)),
        event(lost),
        event(good, "B-1"),
        event(good),
        event(give(world, user_id=None), user_id="A2"),
    )
    assert outcomes(world) == {
        "forged": 2,
        "foreign": 1,
        "expired": 1,
        "unmeasured": 1,
        "unknown": 1,
        "not-shown": 1,
        "joined": 2,
    }
    assert told(world)["clicked"] == 2
    assert world.stores.registry.version(2).metrics["positive"] == 19, "all of them are learned"


def test_a_repeat_and_a_restart_count_nothing_again(world: World) -> None:
    one = give(world)
    learned(world, event(one), event(one))
    before = online(world).figures()
    settle(world.learner())
    learned(world, event(one))
    assert outcomes(world) == {"joined": 1}
    assert online(world).figures().versions == before.versions
    world.stores.registry.activate(1, relearn=True)
    settle(world.learner())
    assert online(world).figures().total == before.total


def test_what_a_learner_that_died_had_archived_is_joined_at_the_next_start(world: World) -> None:
    one = give(world)
    post(world.settings, [event(one), *clicks(10)])

    def dies(step: str) -> None:
        if step == "archived":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        settle(world.learner(reached=dies))
    assert outcomes(world) == {}
    settle(world.learner())
    assert outcomes(world) == {"joined": 1}


def test_a_server_that_is_away_is_waited_for(world: World) -> None:
    one = give(world)
    learned(world, event(one), *(replace(event(one), event_id=str(n)) for n in range(3)))
    secret, settings = Receipts(world.stores.registry.secret()), world.settings
    weights = world.learner()._opening._signals.weights
    with connections.connect(f"redis://127.0.0.1:{free_port()}", timeout_s=0.2) as client:
        away = OnlineStore(client, world.stores.keys, settings.online)
        joining = Joining(world.stores.archive, away, secret, weights, settings.online)
        with pytest.raises(Unavailable):
            joining.follow()
    assert outcomes(world) == {"joined": 4}


def test_nothing_is_joined_where_nothing_is_kept(world: World) -> None:
    off = world.settings.online.model_copy(update={"answers": 0})
    world.settings = world.settings.model_copy(update={"online": off})
    learned(world, event("r-1"))
    assert online(world).position() is None
