"""The life of a window, over real stores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.domain.interactions import START
from service.domain.versions import Origin, VersionStatus, WindowStatus
from service.errors import Conflict
from tests.service.learner.world import World, clicks, differences, post, settle


def test_full_windows_become_versions_and_a_rest_waits_for_its_age(world: World) -> None:
    post(world.settings, clicks(250))
    learner = world.learner()
    settle(learner)
    head = world.stores.registry.head()
    assert (head.active, head.tip) == (3, 3)
    record = world.stores.registry.version(3)
    assert record.status is VersionStatus.ACTIVE
    assert record.origin is Origin.INCREMENTAL
    assert record.metrics["events"] == 100
    assert record.metrics["positions_per_s"] > 0
    assert {"verdict", "reason", "new", "old", "champion"} <= record.gate.keys()
    assert world.stores.archive.end() == head.position
    assert world.stores.log.oldest() == head.position
    assert world.stores.log.events_after(head.position) == 50
    windows = world.stores.registry.windows()
    assert [window.status for window in windows] == [WindowStatus.LEARNED] * 2
    assert windows[0].end == windows[1].start
    assert world.stores.buffer.windows() == {window.window_id for window in windows}


def test_the_age_of_the_oldest_entry_cuts_a_window(world: World) -> None:
    post(world.settings, clicks(30))
    window = world.settings.window.model_copy(update={"max_age_s": 0.001})
    world.settings = world.settings.model_copy(update={"window": window})
    settle(world.learner())
    assert world.stores.registry.version(2).metrics["events"] == 30


def test_with_nothing_to_learn_nothing_happens(world: World) -> None:
    learner = world.learner()
    assert not learner.turn()
    assert world.stores.registry.head().position == START
    assert world.status.fields["state"] == "waiting"


def test_the_active_model_is_scored_before_it_learns(world: World) -> None:
    post(world.settings, clicks(200))
    settle(world.learner())
    first, second = (world.stores.registry.version(version) for version in (2, 3))
    assert first.metrics["prequential"]["recall@20"] == 0.0
    assert second.metrics["prequential"]["recall@20"] > 0.2
    assert "popularity" in second.metrics["prequential"]


def test_the_state_in_memory_is_the_one_on_disk(world: World) -> None:
    """Learning on from memory and after a restart give the same version."""
    post(world.settings, clicks(200))
    one = world.learner()
    settle(one)
    post(world.settings, clicks(100, seed=1))
    settle(world.learner())
    third = world.state(4).export()
    assert world.stores.registry.version(4).parent == 3
    window = world.stores.registry.windows()[-1]
    learned = one._learning.learn(  # the first learner still has version 3 in its memory
        one._states.to_learn_from(3), window, one._opening.material(window), lambda share: None
    )
    assert differences(learned.state.export(), third) == []


def test_weightless_events_are_archived_and_teach_nothing(world: World) -> None:
    seen = [
        type(event)(event.user_id, event.item_id, "impression", event.time_ms, event.event_id)
        for event in clicks(100)
    ]
    post(world.settings, seen)
    settle(world.learner())
    assert world.stores.registry.version(2).metrics["positive"] == 0
    assert len(world.state(2).items) == 0
    assert sum(1 for _ in world.stores.archive.read()) == 100


def test_what_is_skipped_is_remembered_with_what_was_taken(world: World) -> None:
    """From the log to the buffer; and nobody comes into being by it."""
    events = clicks(100)
    beside = [
        replace(event, item_id=f"skipped-{event.item_id}", type="skip", event_id=f"s{at}")
        for at, event in enumerate(events)
    ]
    beside += [replace(beside[0], user_id="nobody", event_id="alone")]
    window = world.settings.window.model_copy(update={"max_events": 300, "max_age_s": 0.001})
    world.settings = world.settings.model_copy(update={"window": window})
    post(world.settings, [*beside, *events], batch=300)
    settle(world.learner())
    state, kept = world.state(2), world.stores.buffer.samples()
    assert "nobody" not in state.users
    assert not any(item_id.startswith("skipped") for item_id in state.items.ids)
    assert kept
    for sample in kept:
        assert sample.skipped
        assert {one.removeprefix("skipped-") for one in sample.skipped} <= {*sample.item_ids}
    assert state.memory.pending
    assert all(sample.skipped for sample in state.memory.pending)


def test_old_checkpoints_go_and_those_for_a_rollback_stay(world: World) -> None:
    few = {"keep_versions": 2, "keep_hours": 0, "keep_days": 0}
    learner_settings = world.settings.learner.model_copy(update=few)
    world.settings = world.settings.model_copy(update={"learner": learner_settings})
    post(world.settings, clicks(500))
    settle(world.learner())
    registry, checkpoints = world.stores.registry, world.stores.checkpoints
    champion = registry.version(6).gate["champion"]
    kept = {
        record.version
        for record in registry.versions()
        if checkpoints.exists(record.version, record.digest)
    }
    assert kept == {5, 6} | ({champion} - {1})
    assert {record.version for record in registry.versions() if record.restorable} == kept | {1}
    (gone, *_) = {2, 3, 4} - kept
    head = registry.head()
    with pytest.raises(Conflict, match="removed"):
        registry.activate(gone)
    assert registry.head() == head
    registry.activate(5)
    post(world.settings, clicks(100, seed=1))
    settle(world.learner())
    assert registry.version(registry.head().tip).parent == 5


def test_an_entry_that_cannot_be_decoded_does_not_stay_behind(world: World) -> None:
    post(world.settings, clicks(100))
    learner = world.learner()
    settle(learner)
    client, keys = world.stores.client, world.stores.keys
    client.xadd(keys.log, {"v": 9, "p": b"", "n": 2, "t": client.incrby(keys.log_total, 2)})
    settle(learner)
    head = world.stores.registry.head()
    assert head.position == world.stores.log.last()
    assert (head.tip, world.stores.log.events_after(head.position)) == (2, 0)
    assert world.status.fields["lag_events"] == 0
    post(world.settings, clicks(100, seed=1))
    settle(learner)
    settle(world.learner())  # one that starts later finds nothing odd
    assert world.stores.registry.head().tip == 3
    assert world.stores.archive.count(START) == 200
