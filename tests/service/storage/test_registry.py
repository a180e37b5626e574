"""The registry: one head, fenced commits, refusals and windows, on both databases."""

from __future__ import annotations

import pytest

from service.domain.interactions import START, Position
from service.domain.versions import Origin, VersionStatus, WindowStatus
from service.errors import Conflict, StaleHead
from service.storage.registry import Registry
from tests.service.storage.learning import learn, open_next, publish, statuses, windows


def test_version_one_is_empty_and_active(registry: Registry) -> None:
    head = registry.head()
    first = registry.version(1)
    assert (head.active, head.tip, head.position, head.pinned) == (1, 1, START, False)
    assert first.status is VersionStatus.ACTIVE
    assert first.origin is Origin.INITIAL
    assert first.learned_until_ms is None


def test_publishing_moves_everything_at_once(registry: Registry) -> None:
    record = learn(registry)
    head = registry.head()
    assert (head.active, head.tip, head.position) == (2, 2, Position(10, 0))
    assert head.generation == 2
    assert (record.parent, record.status, record.window_id) == (1, VersionStatus.ACTIVE, 1)
    assert record.metrics == {"recall@20": 0.5}
    assert statuses(registry) == {1: VersionStatus.RETIRED, 2: VersionStatus.ACTIVE}
    assert windows(registry) == {1: WindowStatus.LEARNED}
    assert registry.window_in_work(head.tip) is None


def test_an_open_window_is_a_fact_until_it_is_committed(registry: Registry) -> None:
    head = registry.head()
    window = open_next(registry, head)
    assert registry.window_in_work(1) == window
    assert registry.window_in_work(2) is None
    with pytest.raises(Conflict):
        open_next(registry, head)


def test_a_commit_from_an_old_epoch_is_refused(registry: Registry) -> None:
    registry.take_epoch()
    head = registry.head()
    window = open_next(registry, head)
    assert registry.take_epoch() == head.epoch + 1
    for commit in (
        lambda: publish(registry, head, window),
        lambda: registry.refuse(head, window, gate={}, metrics={}),
        lambda: open_next(registry, head),
    ):
        with pytest.raises(StaleHead):
            commit()
    assert registry.head().position == START
    assert windows(registry) == {1: WindowStatus.OPEN}


def test_a_commit_after_a_rollback_is_refused(registry: Registry) -> None:
    learn(registry)
    head = registry.head()
    window = open_next(registry, head)
    registry.activate(1)
    with pytest.raises(StaleHead):
        publish(registry, head, window)
    assert registry.head().active == 1
    assert registry.window_in_work(2) is None, "the window is cut anew for the new tip"


def test_the_same_commit_twice_lands_once(registry: Registry) -> None:
    head = registry.head()
    window = open_next(registry, head)
    publish(registry, head, window)
    with pytest.raises(StaleHead):
        publish(registry, head, window)
    assert len(registry.versions()) == 2


def test_a_version_number_is_taken_once(registry: Registry) -> None:
    head = registry.head()
    window = open_next(registry, head)
    with pytest.raises(StaleHead, match="not the next"):
        registry.publish(
            head,
            [window.window_id],
            version=9,
            origin=Origin.INCREMENTAL,
            position=window.end,
            digest="",
            strategy={},
            metrics={},
            gate={},
        )


def test_a_refusal_moves_the_position_alone(registry: Registry) -> None:
    learn(registry)
    head = registry.head()
    window = open_next(registry, head)
    after = registry.refuse(
        head, window, gate={"verdict": "refused"}, metrics={}, digest="b" * 64, version=3
    )
    assert after == registry.head()
    assert (after.active, after.tip, after.position) == (2, 2, window.end)
    assert after.generation == head.generation
    assert statuses(registry)[3] is VersionStatus.REJECTED
    assert registry.version(3).gate == {"verdict": "refused"}
    assert registry.passed_by(window.end) == [(window.start, window.end)]
    assert registry.passed_by(window.start) == []
    assert learn(registry).version == 4
    assert registry.version(4).parent == 2


def test_a_refused_full_retrain_moves_nothing(registry: Registry) -> None:
    learn(registry)
    head = registry.head()
    after = registry.refuse(
        head,
        None,
        gate={},
        metrics={},
        digest="c" * 64,
        version=3,
        origin=Origin.FULL,
        position=Position(10, 0),
    )
    assert after == head
    assert registry.version(3).origin is Origin.FULL
    assert registry.version(3).status is VersionStatus.REJECTED


def test_a_full_retrain_takes_the_tip(registry: Registry) -> None:
    learn(registry)
    head = registry.head()
    record = registry.publish(
        head,
        [],
        version=3,
        origin=Origin.FULL,
        position=head.position,
        digest="f" * 64,
        strategy={},
        metrics={},
        gate={},
    )
    assert (record.parent, record.origin, record.window_id) == (2, Origin.FULL, None)
    assert registry.head().tip == 3


def test_numbers_that_json_has_no_word_for_become_null(registry: Registry) -> None:
    head = registry.head()
    window = open_next(registry, head)
    record = registry.publish(
        head,
        [window.window_id],
        version=2,
        origin=Origin.INCREMENTAL,
        position=window.end,
        digest="",
        strategy={},
        metrics={"loss": float("nan"), "deep": [{"x": float("inf")}], "ok": 1.5},
        gate={},
    )
    assert registry.version(record.version).metrics == {
        "loss": None,
        "deep": [{"x": None}],
        "ok": 1.5,
    }


def test_windows_are_listed_from_a_position(registry: Registry) -> None:
    for _ in range(3):
        learn(registry)
    assert [w.window_id for w in registry.windows(after=Position(10, 0))] == [2, 3]
    assert [w.window_id for w in registry.windows(after=Position(9, 9), limit=1)] == [1]
    assert registry.windows(statuses=[WindowStatus.REFUSED]) == []


def test_the_incarnation_is_remembered(registry: Registry) -> None:
    assert registry.incarnation() is None
    registry.set_incarnation("one")
    registry.set_incarnation("two")
    assert registry.incarnation() == "two"


def test_stretches_passed_by_are_merged(registry: Registry) -> None:
    for _ in range(5):
        learn(registry)
    registry.activate(4)
    registry.refuse(registry.head(), open_next(registry, registry.head()), gate={}, metrics={})
    learn(registry)
    registry.refuse(registry.head(), open_next(registry, registry.head()), gate={}, metrics={})
    head = registry.head()
    assert registry.passed_by(head.position) == [
        (Position(30, 0), Position(60, 0)),
        (Position(70, 0), Position(80, 0)),
    ]


def test_versions_are_paged_from_a_number(registry: Registry) -> None:
    for _ in range(4):
        learn(registry)
    assert [record.version for record in registry.versions(2, before=4)] == [3, 2]


def test_a_published_full_retrain_strikes_out_the_window_in_work(registry: Registry) -> None:
    learn(registry)
    head = registry.head()
    window = open_next(registry, head)
    registry.publish(
        head,
        [],
        version=3,
        origin=Origin.FULL,
        position=head.position,
        digest="f" * 64,
        strategy={},
        metrics={},
        gate={},
    )
    assert registry.window_in_work(2) is None
    again = open_next(registry, registry.head())
    assert (again.parent, again.start, again.end) == (3, window.start, window.end)


def test_an_attempt_that_the_learner_lived_through_is_taken_back(registry: Registry) -> None:
    head = registry.head()
    window = open_next(registry, head)
    assert [registry.begin_attempt(head, window) for _ in range(2)] == [1, 2]
    registry.take_back_attempt(window.window_id)
    assert registry.begin_attempt(head, window) == 2
    registry.take_back_attempt(5_000)
