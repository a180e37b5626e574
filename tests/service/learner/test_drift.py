"""An alarm in the service: raised, recorded, answered, and the same whoever learns it again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from models.continual.window import learn_window
from service.domain.interactions import Interaction
from service.domain.versions import WindowStatus
from service.sections import DriftSettings
from service.settings import Settings
from service.storage.registry import Registry
from service.telemetry import Metrics
from tests.faults.crashing import make_secret, twin
from tests.service.learner.test_jobs import poisoned
from tests.service.learner.world import World, clicks, differences, opened, post, settle

REACTING = DriftSettings(
    detector="page-hinkley",
    tolerance=0.05,
    threshold=0.15,
    min_windows=3,
    windows=2,
    interval_factor=0.5,
    learning_rate_factor=2.0,
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    kept = settings.learner.model_copy(update={"keep_versions": 100})
    return settings.model_copy(update={"drift": REACTING, "learner": kept})


def renewed(count: int, seed: int) -> list[Interaction]:
    """Clicks of the same users on a new assortment, of which nobody has learned anything."""
    return [replace(event, item_id=f"new-{event.item_id}") for event in clicks(count, seed=seed)]


def change(world: World) -> None:
    """Five windows of one assortment, and enough for several of another."""
    post(world.settings, clicks(500))
    post(world.settings, renewed(500, seed=1))


def drifts(registry: Registry) -> list[tuple[int, Any]]:
    """Of each version of the tip's line but the first: its number, and what it says of drift."""
    found, at = [], registry.version(registry.head().tip)
    while at.parent is not None:
        found.append((at.version, at.metrics.get("drift")))
        at = registry.version(at.parent)
    return found[::-1]


def alarmed(registry: Registry) -> int:
    (first, *_) = [version for version, said in drifts(registry) if said["alarm"]]
    return first


def test_an_alarm_is_recorded_and_answered_for_so_many_windows(world: World) -> None:
    change(world)
    settle(world.learner())
    registry = world.stores.registry
    version = alarmed(registry)
    record = registry.version(version)
    assert version == 7, "the first window of the change has made it"
    assert record.metrics["drift"]["before"] > record.metrics["drift"]["after"] + 0.2
    windows = registry.windows()
    at = [window.window_id for window in windows].index(record.window_id or 0)
    assert [window.rate for window in windows[: at + 1]] == [1.0] * (at + 1)
    assert [(window.rate, window.events) for window in windows[at + 1 : at + 3]] == [(2.0, 50)] * 2
    assert (windows[at + 3].rate, windows[at + 3].events) == (1.0, 100)
    manifest = world.stores.checkpoints.manifest(version + 1, registry.version(version + 1).digest)
    assert manifest["window"]["rate"] == 2.0


def test_an_alarm_is_said(world: World) -> None:
    change(world)
    settle(world.learner())
    said, record = (
        world.status.fields,
        world.stores.registry.version(alarmed(world.stores.registry)),
    )
    assert said["drift_alarms"] == 1
    assert said["drift"]["detector"] == "page-hinkley"
    assert said["drift"]["alarm"]["window_id"] == record.window_id
    metrics = Metrics()
    metrics.show_learner(said)
    assert b"freshet_learner_drift_alarms 1.0" in metrics.render()
    again = World(
        world.settings, world.stores, type(world.status)(world.stores.client, world.stores.keys)
    )
    settle(again.learner())
    assert again.status.fields["drift"] == said["drift"], "a restart forgets no alarm"


def test_restarts_after_every_turn_change_nothing(world: World) -> None:
    make_secret(world.settings)
    change(world)
    with opened(twin(world.settings, "twin")) as undisturbed:
        settle(undisturbed.learner())
        expected = undisturbed.stores.registry
        while world.learner().turn():
            pass
        registry, tip = world.stores.registry, expected.head().tip
        assert drifts(registry) == drifts(expected)
        assert [one.rate for one in registry.windows()] == [one.rate for one in expected.windows()]
        assert registry.head().tip == tip
        assert differences(world.state(tip).export(), undisturbed.state(tip).export()) == []


def test_what_is_learned_again_raises_the_alarm_again(world: World) -> None:
    change(world)
    settle(world.learner())
    registry = world.stores.registry
    first = [said["alarm"] for _, said in drifts(registry)]
    rates = [window.rate for window in registry.windows()]
    assert (sum(first), rates.count(2.0)) == (1, 2)
    registry.activate(3, relearn=True)
    settle(world.learner())
    assert [said["alarm"] for _, said in drifts(registry)] == first
    assert [window.rate for window in registry.windows()] == rates


def test_the_rate_is_the_window_s_and_learning_it_again_gives_the_same_bits(world: World) -> None:
    change(world)
    settle(world.learner())
    registry = world.stores.registry
    version = alarmed(registry) + 1
    (window,) = [
        one for one in registry.windows() if one.window_id == registry.version(version).window_id
    ]
    calm = world.settings.model_copy(update={"drift": DriftSettings()})
    learner = World(calm, world.stores, world.status).learner()  # a fact, whatever is set now
    material, parent = learner._opening.material(window), world.state(version - 1)
    learned = learner._learning.learn(parent, window, material, lambda share: None).state
    assert differences(learned.export(), world.state(version).export()) == []
    plain = learn_window(parent, material.events, seed=window.seed, draw=material.draw).state
    assert "serving/items" in differences(plain.export(), learned.export())


def test_what_a_rollback_has_undone_alarms_nobody(world: World) -> None:
    change(world)
    settle(world.learner())
    registry = world.stores.registry
    registry.activate(alarmed(registry) - 1)
    settle(world.learner())
    assert world.status.fields["drift"]["alarm"] is None
    post(world.settings, clicks(100, seed=9))
    settle(world.learner())
    assert registry.windows()[-1].rate == 1.0


def test_windows_that_the_gate_refused_count(world: World) -> None:
    """Drift and refusals come together: the scores of what was passed by are scores."""
    post(world.settings, clicks(500))
    settle(world.learner())
    post(world.settings, renewed(300, seed=1))
    settle(world.learner(learn=poisoned))
    registry = world.stores.registry
    refused = registry.windows(statuses=[WindowStatus.REFUSED])
    assert len(refused) >= 3
    assert registry.head().tip == 6
    assert world.status.fields["drift_alarms"] == 1
    assert [window.rate for window in refused if window.rate != 1.0] == [2.0] * 2


@pytest.mark.parametrize("detector", ["adwin", "page-hinkley"])
def test_without_a_reaction_an_alarm_changes_nothing(world: World, detector: str) -> None:
    alone = REACTING.model_copy(
        update={"detector": detector, "interval_factor": 1.0, "learning_rate_factor": 1.0}
    )
    world.settings = world.settings.model_copy(update={"drift": alone})
    change(world)
    settle(world.learner())
    registry = world.stores.registry
    assert {(window.rate, window.events) for window in registry.windows()} == {(1.0, 100)}
    assert [said["detector"] for _, said in drifts(registry)] == [detector] * 10


def test_no_detector_records_nothing(world: World) -> None:
    world.settings = world.settings.model_copy(update={"drift": DriftSettings()})
    post(world.settings, clicks(200))
    settle(world.learner())
    assert [said for _, said in drifts(world.stores.registry)] == [None, None]
    assert world.status.fields["drift"] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"detector": "cusum"}, "'none', 'adwin' or 'page-hinkley'"),
        ({"adwin_delta": 1.5}, "less than 1"),
        ({"threshold": 0.0}, "greater than 0"),
        ({"interval_factor": 2.0}, "less than or equal to 1"),
        ({"learning_rate_factor": 0.0}, "greater than 0"),
        ({"sensitivity": 1.0}, "Extra inputs are not permitted"),
    ],
)
def test_bad_settings_are_refused_in_words(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings(_env_file=None, drift=given)
