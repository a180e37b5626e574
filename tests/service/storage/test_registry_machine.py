"""Whatever learner and operator do, in whatever order: one active version, one consistent head."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.domain.interactions import START, Position
from service.domain.versions import Head, Origin, VersionStatus, WindowRecord, WindowStatus
from service.errors import Conflict, StaleHead
from service.storage.database import connect
from service.storage.registry import Registry


class RegistryMachine(RuleBasedStateMachine):
    """Beside the registry a plain list of what the model of each version has learned."""

    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="freshet-registry-"))
        path = self.directory / "freshet.sqlite"
        shutil.copyfile(self.template, path)
        self.engine = connect(f"sqlite:///{path}")
        self.registry = Registry(self.engine)
        self.learned: dict[int, set[int]] = {1: set()}
        self.reached: dict[int, Position] = {1: START}
        self.rejected: set[int] = set()
        self.struck_out: set[int] = set()
        self.head: Head = self.registry.head()
        self.window: WindowRecord | None = None

    def teardown(self) -> None:
        self.engine.dispose()
        shutil.rmtree(self.directory)

    @initialize()
    def begin(self) -> None:
        self.registry.take_epoch()
        self.head = self.registry.head()

    @rule()
    def another_learner_takes_over(self) -> None:
        self.registry.take_epoch()

    @rule()
    def look(self) -> None:
        self.head = self.registry.head()
        self.window = self.registry.window_in_work(self.head.tip)

    @rule(length=st.integers(1, 5))
    def open_window(self, length: int) -> None:
        now = self.registry.head()
        end = Position(self.head.position.ms + length, 0)
        try:
            self.window = self.registry.open_window(
                self.head, start=self.head.position, end=end, seed=0, draw_digest="", events=length
            )
        except StaleHead:
            assert now != self.head
        except Conflict:
            assert self.registry.window_in_work(now.tip) is not None

    @rule(length=st.integers(1, 5), accept=st.booleans())
    def learn(self, length: int, accept: bool) -> None:
        self.look()
        if self.window is None:
            self.open_window(length)
        self.commit(accept, True)

    @precondition(lambda self: self.window is not None)
    @rule(accept=st.booleans(), keep=st.booleans())
    def commit(self, accept: bool, keep: bool) -> None:
        assert self.window is not None
        now, version = self.registry.head(), self.registry.next_version()
        try:
            if accept:
                self.publish(version, self.window)
            else:
                digest = "b" * 64 if keep else None
                self.registry.refuse(
                    self.head, self.window, gate={}, metrics={}, digest=digest, version=version
                )
                self.rejected |= {version} if keep else set()
        except StaleHead:
            assert now != self.head, "only a head that moved makes a commit stale"
            assert self.registry.head() == now
        else:
            after = self.registry.head()
            assert after.position == self.window.end
            assert after.active == (version if accept and not now.pinned else now.active)
        self.window = None

    def publish(self, version: int, window: WindowRecord) -> None:
        self.registry.publish(
            self.head,
            [window.window_id],
            version=version,
            origin=Origin.INCREMENTAL,
            position=window.end,
            digest="a" * 64,
            strategy={},
            metrics={},
            gate={},
        )
        self.learned[version] = self.learned[self.head.tip] | {window.window_id}
        self.reached[version] = window.end

    @rule(data=st.data(), pin=st.booleans(), relearn=st.booleans())
    def activate(self, data: st.DataObject, pin: bool, relearn: bool) -> None:
        before = self.registry.head()
        version = data.draw(st.sampled_from(sorted(self.learned)))
        known = {one.window_id for one in self.registry.windows()}
        head = self.registry.activate(version, pin=pin, relearn=relearn)
        gone = known - {one.window_id for one in self.registry.windows()}
        assert not gone & self.learned[version]
        self.struck_out |= gone
        assert (head.active, head.tip) == (version, version)
        assert head.generation == before.generation + 1
        reached = self.reached[version]
        assert head.position == (reached if relearn else max(before.position, reached))
        assert head.pinned == (before.pinned or pin)

    @precondition(lambda self: self.rejected)
    @rule(data=st.data())
    def activate_rejected(self, data: st.DataObject) -> None:
        before = self.registry.head()
        with pytest.raises(Conflict):
            self.registry.activate(data.draw(st.sampled_from(sorted(self.rejected))))
        assert self.registry.head() == before

    @rule()
    def unpin(self) -> None:
        assert not self.registry.unpin().pinned

    @invariant()
    def one_version_is_active(self) -> None:
        head = self.registry.head()
        records = {record.version: record for record in self.registry.versions()}
        active = [v for v, record in records.items() if record.status is VersionStatus.ACTIVE]
        assert active == [head.active]
        assert sorted(records) == list(range(1, len(records) + 1))
        assert records[head.tip].status in (VersionStatus.ACTIVE, VersionStatus.CANDIDATE)
        assert head.tip == head.active or records[head.tip].status is VersionStatus.CANDIDATE

    @invariant()
    def windows_say_what_the_tip_has_learned(self) -> None:
        head = self.registry.head()
        records = self.registry.windows()
        learned = {one.window_id for one in records if one.status is WindowStatus.LEARNED}
        assert learned == self.learned[head.tip] - self.struck_out
        open_ones = [one for one in records if one.status is WindowStatus.OPEN]
        assert len(open_ones) <= 1
        assert all(one.parent == head.tip and one.start >= head.position for one in open_ones)


def test_the_head_is_always_consistent(sqlite_template: Path) -> None:
    RegistryMachine.template = sqlite_template
    run_state_machine_as_test(
        RegistryMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
