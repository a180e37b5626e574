"""The keeper: each event once, whatever happens to processes, servers and settings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import msgspec
import pytest

from models.memory.packing import FORMAT, pack_item
from service.domain.interactions import Interaction
from service.errors import StaleMemory
from service.memory.status import State
from service.settings import Settings
from service.storage.event_log import EventLog
from service.storage.keys import Keys
from service.storage.memory import Written
from tests.service.learner.world import clicks, post, small_settings
from tests.service.learner.world import opened as learning
from tests.service.learner.world import settle as learn
from tests.service.memory.world import World, assert_alike, opened, rows, settings_of, settle


def test_what_is_stored_is_what_a_memory_holds_that_saw_all_at_once(world: World) -> None:
    events = clicks(300)
    keeper = world.keeper()
    for start in range(0, 300, 60):
        post(world.settings, events[start : start + 60])
        settle(keeper)
    assert_alike(world.stored(), world.expected(events))
    state = world.stores.memory.state()
    assert state is not None
    assert state.position == world.stores.log.last()
    assert (state.events, state.repeats, state.total) == (300, 0, 300)


def test_what_no_good_sign_is_counts_for_nothing_and_a_purchase_for_five(world: World) -> None:
    one = Interaction("u", "a", "click", 1_000, "1")
    events = [
        one,
        replace(one, item_id="seen", type="impression", event_id="2"),
        replace(one, item_id="bad", type="rating", value=2.0, event_id="3"),
        replace(one, item_id="b", type="purchase", time_ms=2_000, event_id="4"),
    ]
    post(world.settings, events)
    settle(world.keeper())
    memory, items = world.stored()
    assert items.ids == ["a", "b"]
    assert memory.covisits.weights[:2, 0].tolist() == [5.0, 5.0]


@pytest.mark.parametrize("archived", [False, True], ids=["in the log", "in the archive"])
def test_repeats_count_once_across_a_restart(
    world: World, settings: Settings, archived: bool
) -> None:
    events = clicks(120)
    post(settings, events)
    settle(world.keeper())
    if archived:
        small = small_settings(
            settings.data_dir,
            str(settings.redis_url),
            str(settings.database_url),
            settings.namespace,
            probe_share=0.0,
        )
        with learning(small) as learner:
            learn(learner.learner())
        assert world.stores.archive.end().ms > 0
    post(settings, events[:50])
    post(settings, [*events[50:], *clicks(10, seed=1)])
    settle(world.keeper())
    assert_alike(world.stored(), world.expected([*events, *clicks(10, seed=1)]))
    state = world.stores.memory.state()
    assert state is not None
    assert state.repeats == 120


def test_the_window_stands_where_the_memory_does_and_not_where_the_archive_ends(
    world: World, settings: Settings
) -> None:
    """A learner that is ahead has archived events that the memory has still to count."""
    settle(world.keeper())
    events = clicks(100)
    post(settings, events)
    small = small_settings(
        settings.data_dir, str(settings.redis_url), str(settings.database_url), settings.namespace
    )
    with learning(small) as learner:
        learn(learner.learner())
    settle(world.keeper())
    assert_alike(world.stored(), world.expected(events))


def test_what_cannot_be_decoded_is_passed_over_and_left_to_the_learner(world: World) -> None:
    post(world.settings, clicks(5))
    world.stores.client.xadd(world.stores.keys.log, {b"v": b"99", b"p": b"?"})
    post(world.settings, clicks(5, seed=1))
    settle(world.keeper())
    state = world.stores.memory.state()
    assert state is not None
    assert (state.events, state.undecodable) == (10, 1)
    assert world.stores.log.dead_letters() == 0


def test_a_log_that_dropped_events_is_gone_on_with_and_says_so(world: World) -> None:
    keeper = world.keeper()
    post(world.settings, clicks(50))
    settle(keeper)
    post(world.settings, clicks(50, seed=1))
    end = post(world.settings, clicks(25, seed=2))
    world.stores.log.trim(end)
    settle(keeper)
    state = world.stores.memory.state()
    assert state is not None
    assert (state.events, state.lost) == (75, 50)
    assert keeper._status.fields["lost_events"] == 50


def test_the_learner_leaves_the_log_to_a_memory_that_is_behind_for_a_while(
    world: World, settings: Settings
) -> None:
    settle(world.keeper())
    first = post(settings, clicks(25))
    post(settings, clicks(100, seed=1))
    for hold_s, oldest in ((3_600.0, first), (0.0, None)):
        held = settings.memory.model_copy(update={"hold_s": hold_s})
        small = small_settings(
            settings.data_dir,
            str(settings.redis_url),
            str(settings.database_url),
            settings.namespace,
        ).model_copy(update={"memory": held})
        post(settings, clicks(100, seed=2 if hold_s else 3))
        with learning(small) as learner:
            learn(learner.learner())
        assert (world.stores.log.oldest() == first) is (oldest == first)


def test_of_two_keepers_the_later_keeps_and_the_other_takes_over_when_it_is_gone(
    world: World,
) -> None:
    first, second = world.keeper(life_ms=200), world.keeper(life_ms=200)
    events = clicks(90)
    post(world.settings, events[:30])
    settle(first)
    settle(second)
    second._status.beat()
    post(world.settings, events[30:60])
    assert not first.turn()
    assert first._status.fields["state"] == State.STANDBY
    settle(second)
    assert_alike(world.stored(), world.expected(events[:60]))
    post(world.settings, events[60:])
    until = time.monotonic() + 5
    while first._status.fields["state"] == State.STANDBY and time.monotonic() < until:
        first.turn()
        time.sleep(0.02)
    settle(first)
    assert_alike(world.stored(), world.expected(events))
    assert not second.turn()


def test_one_that_was_paused_in_its_commit_writes_nothing(world: World) -> None:
    post(world.settings, clicks(30))
    store = world.stores.memory
    settle(world.keeper())
    before = store.state()
    assert before is not None
    settle(world.keeper())  # takes the epoch
    stored = rows(world.stored()[0])
    with pytest.raises(StaleMemory):
        store.commit(before, before, Written({0: b"x"}, {0: b"x"}, ["new"], 30))
    with pytest.raises(StaleMemory):
        store.begin(before, [Written({0: b"x"})])
    assert rows(world.stored()[0]) == stored
    assert not world.stores.client.exists(world.stores.keys.memory_items(before.generation + 1))


def test_a_wiped_server_is_begun_anew_with(world: World) -> None:
    keeper = world.keeper()
    post(world.settings, clicks(60))
    settle(keeper)
    keys = list(world.stores.client.scan_iter(f"{world.stores.keys.prefix}:*"))
    world.stores.client.delete(*keys)
    events = clicks(40, seed=1)
    post(world.settings, events)
    for _ in range(3):
        settle(keeper)
    assert_alike(world.stored(), world.expected(events))


def test_a_server_restored_from_a_copy_is_gone_on_with_from_there(world: World) -> None:
    keeper = world.keeper()
    events = clicks(100)
    post(world.settings, events[:50])
    settle(keeper)
    client = world.stores.client
    names = list(client.scan_iter(f"{world.stores.keys.prefix}:*"))
    copy = {name: client.dump(name) or b"" for name in names}
    post(world.settings, clicks(20, seed=3))
    settle(keeper)
    for name, data in copy.items():
        client.restore(name, 0, data, replace=True)
    post(world.settings, events[50:])
    for _ in range(3):
        settle(keeper)
    assert_alike(world.stored(), world.expected(events))


@pytest.mark.parametrize("form", [FORMAT - 1, 99], ids=["earlier", "later"])
def test_a_form_of_another_release_is_begun_anew(world: World, form: int) -> None:
    """Though its rows can be read, for nobody knows what they mean."""
    events = clicks(50)
    post(world.settings, events)
    settle(world.keeper())
    state = world.stores.memory.state()
    assert state is not None
    known = msgspec.json.encode(replace(state, format=form))
    world.stores.client.hset(world.stores.keys.memory, "state", known)
    kept = world.stores.keys.memory_items(state.generation)
    other = pack_item(world.stored()[0], 4)
    world.stores.client.hset(kept, "3", other)
    settle(world.keeper())
    assert_alike(world.stored(), world.expected(events))


def test_rows_that_are_none_are_begun_anew_with(world: World) -> None:
    events = clicks(50)
    post(world.settings, events)
    settle(world.keeper())
    state = world.stores.memory.state()
    assert state is not None
    world.stores.client.hset(world.stores.keys.memory_items(state.generation), "3", b"junk")
    settle(world.keeper())
    assert_alike(world.stored(), world.expected(events))


def test_too_many_items_are_compacted_and_other_numbers_hold(settings: Settings) -> None:
    few = settings.model_copy(
        update={"memory": settings.memory.model_copy(update={"max_items": 20})}
    )
    with opened(few) as world:
        keeper = world.keeper()
        for seed in range(4):
            post(few, clicks(100, seed=seed))
            settle(keeper)
        memory, items = world.stored()
        state = world.stores.memory.state()
        assert state is not None
        assert len(items) <= 20
        assert state.generation > 2
        assert state.events == 400
        assert keeper._held is not None
        assert rows(keeper._held.memory) == rows(memory)
        assert keeper._held.items.ids == items.ids
        named = [key.decode() for key in world.stores.client.scan_iter(f"{state_keys(world)}:*")]
        assert {name.split(":")[3] for name in named} == {
            str(state.generation),
            "changes",
            "lessons",
        }


def state_keys(world: World) -> str:
    return world.stores.keys.memory


def test_smaller_bounds_are_taken_over_at_the_next_start(settings: Settings, world: World) -> None:
    events = clicks(200)
    post(settings, events)
    settle(world.keeper())
    smaller = settings_of(
        settings.data_dir,
        str(settings.redis_url),
        str(settings.database_url),
        settings.namespace,
        max_items=10,
        sessions=5,
        width=3,
    )
    with opened(smaller) as again:
        settle(again.keeper())
        memory, items = again.stored()
        assert len(items) == 9
        assert len(memory.sessions.slots) == 5
        post(smaller, clicks(50, seed=9))
        settle(again.keeper())
        assert len(again.stored()[1]) <= 10


def test_what_it_says_of_itself(world: World) -> None:
    keeper = world.keeper()
    post(world.settings, clicks(60))
    settle(keeper)
    said = keeper._status.fields
    assert said["state"] == State.KEEPING
    assert said["pid"] == os.getpid()
    assert said["lag_events"] == 0
    assert said["items"] == len(world.stored()[1])
    assert said["sessions"] == len(world.stored()[0].sessions.slots)
    assert said["bytes"] > 1_000
    assert said["dedupe_ids"] == 60


def test_the_changes_are_bounded(settings: Settings) -> None:
    few = settings.model_copy(update={"memory": settings.memory.model_copy(update={"changes": 3})})
    with opened(few) as world:
        keeper = world.keeper()
        for seed in range(6):
            post(few, clicks(5, seed=seed))
            settle(keeper)
        assert world.stores.client.xlen(Keys(few.namespace).memory_changes) == 3


def test_a_reader_beside_the_learner_buries_nothing(world: World) -> None:
    log = EventLog(world.stores.client, world.stores.keys, buries=False)
    world.stores.client.xadd(world.stores.keys.log, {b"v": b"99"})
    assert len(log.read(world.stores.log.last().__class__(0, 0), 10)) == 1
    assert log.dead_letters() == 0


def test_its_process_is_spared_torch() -> None:
    seen = "import sys, service.cli.app, service.memory.process; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
