"""Activation: what becomes of head, pin and windows when an operator goes to another version."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from service.domain.interactions import Position
from service.domain.versions import VersionStatus, WindowStatus
from service.errors import Conflict, NotFound
from service.storage.registry import Registry
from tests.service.storage.learning import learn, open_next, statuses, windows


def test_activating_keeps_the_position_and_quarantines(registry: Registry) -> None:
    for _ in range(3):
        learn(registry)
    before = registry.head()
    head = registry.activate(2)
    assert (head.active, head.tip, head.position) == (2, 2, before.position)
    assert head.generation == before.generation + 1
    assert windows(registry) == {
        1: WindowStatus.LEARNED,
        2: WindowStatus.QUARANTINED,
        3: WindowStatus.QUARANTINED,
    }
    assert statuses(registry) == {
        1: VersionStatus.RETIRED,
        2: VersionStatus.ACTIVE,
        3: VersionStatus.RETIRED,
        4: VersionStatus.RETIRED,
    }
    assert learn(registry).parent == 2


def test_going_back_to_the_newer_version_takes_its_windows_along(registry: Registry) -> None:
    for _ in range(2):
        learn(registry)
    registry.activate(2)
    learn(registry)
    registry.activate(3)
    assert windows(registry) == {
        1: WindowStatus.LEARNED,
        2: WindowStatus.LEARNED,
        3: WindowStatus.QUARANTINED,
    }


def test_relearning_sets_the_position_back(registry: Registry) -> None:
    for _ in range(3):
        learn(registry)
    refused = open_next(registry, registry.head())
    registry.refuse(registry.head(), refused, gate={}, metrics={})
    head = registry.activate(2, relearn=True)
    assert (head.active, head.tip, head.position) == (2, 2, Position(10, 0))
    assert windows(registry) == {1: WindowStatus.LEARNED}
    again = open_next(registry, head)
    assert again.start == Position(10, 0)
    assert again.window_id > refused.window_id, "an id is never given twice"


def test_nothing_is_learned_twice_when_a_relearning_is_called_off(registry: Registry) -> None:
    for _ in range(2):
        learn(registry)
    assert registry.activate(2, relearn=True).position == Position(10, 0)
    assert registry.activate(3).position == Position(20, 0), "version 3 knows that stretch"


def test_rejected_and_unknown_versions_cannot_be_activated(registry: Registry) -> None:
    head = registry.head()
    window = open_next(registry, head)
    registry.refuse(head, window, gate={}, metrics={}, digest="b" * 64, version=2)
    with pytest.raises(Conflict):
        registry.activate(2)
    for unknown in (3, 0, -1, 2**31, 10**30):
        with pytest.raises(NotFound):
            registry.activate(unknown)
        with pytest.raises(NotFound):
            registry.version(unknown)
    assert registry.activate(1).active == 1


def test_a_pruned_version_cannot_be_activated(registry: Registry) -> None:
    for _ in range(3):
        learn(registry)
    registry.prune({1, 2, 4})
    restorable = {record.version: record.restorable for record in registry.versions()}
    assert restorable == {1: True, 2: False, 3: True, 4: True}, "4 is active; 1 needs no files"
    assert [record.version for record in registry.with_files()] == [4, 3, 1]
    head = registry.head()
    with pytest.raises(Conflict, match="version 2 has been removed"):
        registry.activate(2)
    assert registry.head() == head
    assert registry.activate(3).active == 3


def test_a_pin_holds_until_it_is_taken_away(registry: Registry) -> None:
    learn(registry)
    registry.activate(1, pin=True)
    waiting = learn(registry)
    head = registry.head()
    assert waiting.status is VersionStatus.CANDIDATE
    assert (head.active, head.tip, head.pinned) == (1, waiting.version, True)
    assert not registry.unpin().pinned
    assert registry.head().active == 1
    served = learn(registry)
    assert served.status is VersionStatus.ACTIVE
    assert served.parent == waiting.version
    assert registry.head().active == served.version


def test_activating_without_pin_does_not_unpin(registry: Registry) -> None:
    registry.pin()
    assert registry.activate(1).pinned


def test_a_long_line_of_versions_is_no_list_of_parameters(sqlite_engine: Engine) -> None:
    """SQLite takes some 32,000 parameters, PostgreSQL 65,535; a version a minute makes more."""
    registry, last = Registry(sqlite_engine), 40_000
    learn(registry)
    columns = "status, origin, position_ms, position_seq, digest, created_ms, pruned"
    with sqlite_engine.begin() as connection:
        connection.execute(
            text(
                "WITH RECURSIVE line(n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM line WHERE n < :n)"
                f" INSERT INTO versions (version, parent, {columns}, strategy, metrics, gate)"
                " SELECT n, n - 1, 'retired', 'incremental', n, 0, '', 0, 0, '{}', '{}', '{}'"
                " FROM line"
            ),
            {"n": last},
        )
    assert registry.activate(last).tip == last
    assert windows(registry) == {1: WindowStatus.LEARNED}
    assert registry.activate(last - 1, relearn=True).tip == last - 1
    assert windows(registry) == {1: WindowStatus.LEARNED}
    assert registry.activate(1).tip == 1
    assert windows(registry) == {1: WindowStatus.QUARANTINED}
