"""Every event is learned exactly once: a learner that dies anywhere ends where one that lives does.

The comparison is bit for bit, over the same log with the same recorded window bounds.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.versions import WindowStatus
from service.learner.steps import COMMITTED
from service.settings import Settings
from tests.faults.crashing import (
    DIED,
    PLACES,
    Outcome,
    give,
    make_secret,
    outcome,
    run,
    start,
    twin,
)
from tests.service.learner.world import clicks, differences, post, small_settings
from tests.service.memory import world as memory

WINDOWS = 3

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    valkey_url: str,
) -> Settings:
    """A log that no learner has read yet: some of its events are sent twice, some name answers, and
    some are skips."""
    directory = tmp_path_factory.mktemp("stage")
    database = directory / "stage.sqlite"
    database.write_bytes(sqlite_template.read_bytes())
    namespace = f"crash-{random.randrange(10**8)}"
    settings = small_settings(directory / "stage", valkey_url, f"sqlite:///{database}", namespace)
    make_secret(settings)
    events = clicks(100 * WINDOWS - 20)
    events[::4] = give(settings, events[::4])
    events[1::6] = [replace(event, type="skip") for event in events[1::6]]
    told = settings.memory.model_copy(update={"batch_events": 40, "lesson_share": 1.0})
    with memory.opened(settings.model_copy(update={"memory": told})) as world:
        post(settings, events[:100] + events[80:100] + events[100:])
        memory.settle(world.keeper())
    return settings


@pytest.fixture(scope="module")
def valkey_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("valkey").url
    return url


@pytest.fixture(scope="module")
def undisturbed(stage: Settings) -> Outcome:
    settings = twin(stage, "undisturbed")
    assert run(settings) == 0
    found = outcome(settings)
    assert len(found.windows) == WINDOWS
    assert len(found.samples) > 50
    assert sum(bool(sample.skipped) for sample in found.samples) > 10
    assert sum(repeat for _, _, repeat in found.archived) == 20
    assert found.joined.total["events:joined"] == 70
    assert found.tip.meta["mixing_until"] == found.windows[-1][1], "all lessons are learned"
    return found


def same(found: Outcome, expected: Outcome) -> None:
    assert differences(found.tip, expected.tip) == []
    assert found.windows == expected.windows
    assert {window[4] for window in found.windows} == {WindowStatus.LEARNED.value}
    assert found.samples == expected.samples
    assert found.archived == expected.archived
    assert found.archive_files == expected.archive_files
    assert found.joined == expected.joined


@pytest.mark.parametrize("place", PLACES)
def test_death_at_any_step_changes_nothing(
    stage: Settings, undisturbed: Outcome, place: str
) -> None:
    settings = twin(stage, place)
    assert run(settings, place, occasion=2) == DIED
    assert run(settings) == 0
    same(outcome(settings), undisturbed)


def test_death_at_every_step_in_turn_changes_nothing(stage: Settings, undisturbed: Outcome) -> None:
    """(Up to the last window: from the commit on, each death leaves one window less.)"""
    settings = twin(stage, "every")
    for place in PLACES[: PLACES.index(COMMITTED) + WINDOWS]:
        assert run(settings, place) == DIED
    assert run(settings) == 0
    same(outcome(settings), undisturbed)


@pytest.mark.parametrize("place", ["opened", "written", "committed"])
def test_on_postgresql_death_changes_nothing(
    stage: Settings, undisturbed: Outcome, postgres_url: str, place: str
) -> None:
    settings = twin(stage, f"pg-{place}", postgres_url)
    assert run(settings, place, occasion=2) == DIED
    assert run(settings) == 0
    same(outcome(settings), undisturbed)


def test_kills_at_random_moments_change_nothing(stage: Settings, undisturbed: Outcome) -> None:
    """Twelve kills; a commit between bursts keeps a slow machine from giving a window up."""
    settings, chance = twin(stage, "random"), random.Random(7)
    for _ in range(3):
        for _ in range(4):
            process = start(settings)
            time.sleep(chance.uniform(0.1, 0.9))
            process.kill()
            process.join()
        assert run(settings, COMMITTED) in (DIED, 0), "0: nothing was left to commit"
    assert run(settings) == 0
    same(outcome(settings), undisturbed)
