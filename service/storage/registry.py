"""The registry: which versions exist, which is served, and where learning goes on.

The head is one row and the only truth. Every commit locks it and compares it with the head that
the commit started from: when generation, epoch, tip or position have moved, nothing is written
(`StaleHead`). That fences a paused learner as well as a concurrent rollback.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from service.domain.interactions import Position
from service.domain.versions import (
    FIRST_VERSION,
    Head,
    Origin,
    VersionRecord,
    VersionStatus,
    WindowRecord,
    WindowStatus,
)
from service.errors import Conflict
from service.storage import activation
from service.storage.clock import now_ms
from service.storage.database import writing
from service.storage.fencing import (
    add_version,
    close_windows,
    fence,
    find_version,
    lock_head,
    next_version,
)
from service.storage.lookups import Lookups
from service.storage.records import head_record, version_record, window_record
from service.storage.tables import Version, Window


class Registry(Lookups):
    """Versions, windows and the head.

    Args:
        engine: a database that `migrate` has prepared.

    Every method raises `Unavailable` when the database does not answer.
    """

    # the learner's commits

    def take_epoch(self) -> int:
        """Become the learner: whoever took an epoch before can commit no more."""
        with writing(self._engine) as session:
            row = lock_head(session)
            row.epoch += 1
            return row.epoch

    def open_window(
        self,
        head: Head,
        *,
        start: Position,
        end: Position,
        seed: int,
        draw_digest: str,
        events: int,
        rate: float = 1.0,
        lessons_digest: str = "",
    ) -> WindowRecord:
        """Make a window a fact: its bounds, seed, draw, lessons and rate stand before work on it
        begins.

        Raises:
            StaleHead: the head has moved.
            Conflict: a window on this tip is open already.
        """
        with writing(self._engine) as session:
            fence(session, head)
            open_one = select(Window.window_id).where(Window.status == WindowStatus.OPEN.value)
            if session.scalars(open_one).first() is not None:
                raise Conflict("a window is in work already")
            row = Window(
                parent=head.tip,
                start_ms=start.ms,
                start_seq=start.seq,
                end_ms=end.ms,
                end_seq=end.seq,
                seed=seed,
                draw_digest=draw_digest,
                lessons_digest=lessons_digest,
                status=WindowStatus.OPEN.value,
                events=events,
                rate=rate,
                attempts=0,
                created_ms=now_ms(),
                metrics={},
                gate={},
            )
            session.add(row)
            session.flush()
            return window_record(row)

    def begin_attempt(self, head: Head, window: WindowRecord) -> int:
        """Note that work on a window begins; how often it has by now.

        Raises:
            StaleHead: the head has moved.
        """
        with writing(self._engine) as session:
            fence(session, head)
            row = session.get_one(Window, window.window_id)
            row.attempts += 1
            return row.attempts

    def withdraw(self, head: Head, window: WindowRecord) -> None:
        """Strike a window in work, of which nothing is committed, so that it is cut anew.

        Raises:
            StaleHead: the head has moved.
        """
        with writing(self._engine) as session:
            fence(session, head)
            row = session.get_one(Window, window.window_id)
            if row.status == WindowStatus.OPEN.value:
                session.delete(row)

    def take_back_attempt(self, window_id: int) -> None:
        """The learner lived to leave a window that it did not commit: that was no attempt."""
        with writing(self._engine) as session:
            session.execute(
                update(Window)
                .where(
                    Window.window_id == window_id,
                    Window.status == WindowStatus.OPEN.value,
                    Window.attempts > 0,
                )
                .values(attempts=Window.attempts - 1)
            )

    def publish(
        self,
        head: Head,
        window_ids: Sequence[int],
        *,
        version: int,
        origin: Origin,
        position: Position,
        digest: str,
        strategy: Mapping[str, Any],
        metrics: Mapping[str, Any],
        gate: Mapping[str, Any],
    ) -> VersionRecord:
        """Register a version and move the head to it, in one transaction.

        Tip and position move; so does `active`, unless the head is pinned: then the version waits
        as `candidate`. A window that is in work on the old tip is struck out, to be cut anew.

        Args:
            head: the head that the work started from.
            window_ids: what it learned, oldest first.
            version: `next_version()`; the checkpoint was written under it.

        Raises:
            StaleHead: the head has moved, or the number is taken.
        """
        with writing(self._engine) as session:
            row = fence(session, head)
            add_version(
                session,
                version,
                parent=head.tip,
                status=VersionStatus.CANDIDATE,
                origin=origin,
                position=position,
                digest=digest,
                window_id=window_ids[-1] if window_ids else None,
                strategy=strategy,
                metrics=metrics,
                gate=gate,
            )
            close_windows(session, window_ids, WindowStatus.LEARNED, version=version)
            activation.strike_open(session)
            row.tip, row.generation = version, row.generation + 1
            row.position_ms, row.position_seq = position.ms, position.seq
            if not row.pinned:
                activation.make_active(session, row, version, now_ms())
            session.flush()
            return version_record(find_version(session, version))

    def refuse(
        self,
        head: Head,
        window: WindowRecord | None,
        *,
        gate: Mapping[str, Any],
        metrics: Mapping[str, Any],
        digest: str | None = None,
        version: int | None = None,
        origin: Origin = Origin.INCREMENTAL,
        position: Position | None = None,
        strategy: Mapping[str, Any] | None = None,
    ) -> Head:
        """Pass a refused window by: the head's position moves over it, nothing else does.

        Args:
            head: the head that the work started from.
            window: None for a full retrain, whose refusal moves nothing.
            digest: with it (and `version`) the candidate is registered as `rejected`.
            position: how far the rejected version had learned, when there is no window.

        Raises:
            StaleHead: the head has moved, or the number is taken.
        """
        reached = position or head.position if window is None else window.end
        with writing(self._engine) as session:
            row = fence(session, head)
            if digest is not None:
                add_version(
                    session,
                    next_version(session) if version is None else version,
                    parent=head.tip,
                    status=VersionStatus.REJECTED,
                    origin=origin,
                    position=reached,
                    digest=digest,
                    window_id=None if window is None else window.window_id,
                    strategy=strategy or {},
                    metrics=metrics,
                    gate=gate,
                )
            if window is not None:
                close_windows(session, [window.window_id], WindowStatus.REFUSED, metrics, gate)
                row.position_ms, row.position_seq = window.end.ms, window.end.seq
            session.flush()
            return head_record(row)

    def pass_by(self, head: Head, until: Position) -> Head:
        """Move the head's position over entries that hold nothing to learn.

        Raises:
            StaleHead: the head has moved.
        """
        with writing(self._engine) as session:
            row = fence(session, head)
            row.position_ms, row.position_seq = until.ms, until.seq
            session.flush()
            return head_record(row)

    def prune(self, versions: Collection[int]) -> None:
        """Say that the checkpoints of `versions` go: none of them can be activated any more.

        Version 1 has none, and what is active or the tip at this moment stays; whoever activates
        comes before (and the version stays) or after (and is told). The files go after that.
        """
        with writing(self._engine) as session:
            row = lock_head(session)
            gone = set(versions) - {FIRST_VERSION, row.active, row.tip}
            session.execute(update(Version).where(Version.version.in_(gone)).values(pruned=True))

    # the operator's commits

    def set_incarnation(self, incarnation: str) -> None:
        """From now on the head's position belongs to this event log."""
        with writing(self._engine) as session:
            lock_head(session).incarnation = incarnation

    def activate(self, version: int, *, pin: bool = False, relearn: bool = False) -> Head:
        """Serve `version` and go on learning from it.

        What was learned since then is quarantined, or, with `relearn`, learned again: the position
        goes back to where the version had got, and the windows since are struck out.

        Raises:
            NotFound: there is no such version.
            Conflict: the gate rejected it, or its checkpoint has been removed.
        """
        with writing(self._engine) as session:
            row = lock_head(session)
            target = find_version(session, version)
            if target.status == VersionStatus.REJECTED.value:
                raise Conflict(f"version {version} was rejected and cannot be activated")
            if target.pruned:
                raise Conflict(
                    f"the checkpoint of version {version} has been removed to make room, so it "
                    "cannot be activated; the list of models says which are restorable"
                )
            activation.activate(session, row, target, relearn=relearn, now=now_ms())
            row.pinned = row.pinned or pin
            session.flush()
            return head_record(row)

    def pin(self) -> Head:
        """Keep serving what is served: from now on new versions wait as candidates."""
        return self._set_pin(True)

    def unpin(self) -> Head:
        """Let the next version that is published be served."""
        return self._set_pin(False)

    def _set_pin(self, pinned: bool) -> Head:
        with writing(self._engine) as session:
            row = lock_head(session)
            row.pinned = pinned
            session.flush()
            return head_record(row)
