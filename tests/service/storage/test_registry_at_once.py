"""The registry with many at it: threads that start together, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from service.domain.interactions import Position
from service.domain.versions import VersionStatus, WindowStatus
from service.errors import Conflict, StaleHead, Unavailable
from service.storage.database import connect
from service.storage.registry import Registry
from tests.service.storage.learning import learn, open_next, publish, statuses


def run_at_once(works: list[Callable[[], None]]) -> None:
    """Run all in threads that start together; errors other than the expected ones surface."""
    barrier = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_the_secret_is_made_once_by_many(registry: Registry) -> None:
    found: list[bytes] = []
    run_at_once([lambda: found.append(registry.secret()) for _ in range(8)])
    assert len(set(found)) == 1
    assert len(found[0]) == 32


def test_every_learner_gets_an_epoch_of_its_own(registry: Registry) -> None:
    found: list[int] = []
    run_at_once([lambda: found.append(registry.take_epoch()) for _ in range(8)])
    assert sorted(found) == list(range(1, 9))


def test_commits_at_once_leave_one_truth(registry: Registry) -> None:
    """Publishers, refusers and operators meet; each wins whole or is told that it is stale."""
    learn(registry)
    learn(registry)
    published: list[int] = []
    refused: list[Position] = []

    def learner(accepts: bool) -> Callable[[], None]:
        def work() -> None:
            for _ in range(6):
                head = registry.head()
                try:
                    window = registry.window_in_work(head.tip) or open_next(registry, head)
                    if accepts:
                        published.append(publish(registry, head, window).version)
                    else:
                        refused.append(registry.refuse(head, window, gate={}, metrics={}).position)
                except (StaleHead, Conflict):
                    continue

        return work

    def operator() -> None:
        for version in (1, 2, 3, 2, 1):
            registry.activate(version)

    run_at_once([learner(True), learner(True), learner(False), operator])
    now = statuses(registry)
    head = registry.head()
    assert [v for v, status in now.items() if status is VersionStatus.ACTIVE] == [head.active]
    assert len(published) == len(set(published)), "no number was given twice"
    assert sorted(now) == sorted([1, 2, 3, *published])
    learned = [w for w in registry.windows() if w.status is not WindowStatus.OPEN]
    assert len(learned) == len(published) + len(refused) + 2
    ends = [w.end for w in learned]
    assert len(ends) == len(set(ends)), "no stretch of the log was passed twice"


def test_a_database_that_is_gone_is_unavailable() -> None:
    engine = connect("postgresql://nobody@127.0.0.1:9/none", timeout_s=1.0)
    with pytest.raises(Unavailable):
        Registry(engine).head()
    engine.dispose()
