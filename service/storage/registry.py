"""The registry: which versions exist, which is served, and where learning goes on.

The head is one row and the only truth. Every commit locks it and compares it with the head that
the commit started from: when generation, epoch, tip or position have moved, nothing is written
(`StaleHead`). That fences a paused learner as well as a concurrent rollback.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from service.domain.interactions import START, Position
from service.domain.versions import (
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
from service.storage.database import reading, writing
from service.storage.fencing import (
    close_windows,
    fence,
    find_version,
    free_version,
    lock_head,
    next_version,
)
from service.storage.records import head_record, version_record, window_record
from service.storage.tables import HeadRow, Secret, Version, Window

_SECRET_BYTES = 32


class Registry:
    """Versions, windows and the head.

    Args:
        engine: a database that `migrate` has prepared.

    Every method raises `Unavailable` when the database does not answer.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # what is

    def head(self) -> Head:
        """The head at this moment."""
        with reading(self._engine) as session:
            return head_record(session.get_one(HeadRow, 1))

    def version(self, version: int) -> VersionRecord:
        """One version.

        Raises:
            NotFound: there is none of that number.
        """
        with reading(self._engine) as session:
            return version_record(find_version(session, version))

    def versions(self, limit: int = 100) -> list[VersionRecord]:
        """The latest `limit` versions, newest first."""
        query = select(Version).order_by(Version.version.desc()).limit(limit)
        with reading(self._engine) as session:
            return [version_record(row) for row in session.scalars(query)]

    def next_version(self) -> int:
        """The number that the next version will have."""
        with reading(self._engine) as session:
            return next_version(session)

    def windows(
        self,
        after: Position = START,
        statuses: Collection[WindowStatus] | None = None,
        limit: int | None = None,
    ) -> list[WindowRecord]:
        """Windows that end after `after`, in the order of the log."""
        query = (
            select(Window)
            .where(activation.ends_after(after))
            .order_by(Window.end_ms, Window.end_seq, Window.window_id)
            .limit(limit)
        )
        if statuses is not None:
            query = query.where(Window.status.in_([status.value for status in statuses]))
        with reading(self._engine) as session:
            return [window_record(row) for row in session.scalars(query)]

    def quarantined(self) -> list[WindowRecord]:
        """Windows passed by without effect on the tip: refused, or undone by a rollback."""
        return self.windows(statuses=(WindowStatus.REFUSED, WindowStatus.QUARANTINED))

    def learned_windows(self) -> set[int]:
        """Ids of the windows that the tip has learned: whose samples belong in the buffer."""
        query = select(Window.window_id).where(Window.status == WindowStatus.LEARNED.value)
        with reading(self._engine) as session:
            return set(session.scalars(query))

    def window_in_work(self, tip: int) -> WindowRecord | None:
        """The window that a learner on `tip` opened and did not commit."""
        query = select(Window).where(Window.status == WindowStatus.OPEN.value, Window.parent == tip)
        with reading(self._engine) as session:
            row = session.scalars(query).first()
            return None if row is None else window_record(row)

    def secret(self) -> bytes:
        """The 32 bytes that key the hashes of users and events, made by the first who asks."""
        with reading(self._engine) as session:
            found = session.get(Secret, "hashes")
        if found is not None:
            return found.value
        try:
            with writing(self._engine) as session:
                session.add(Secret(name="hashes", value=secrets.token_bytes(_SECRET_BYTES)))
        except IntegrityError:
            pass  # another was first: theirs holds
        with reading(self._engine) as session:
            return session.get_one(Secret, "hashes").value

    def incarnation(self) -> str | None:
        """The event log that the head's position belongs to; None before the first."""
        with reading(self._engine) as session:
            return session.get_one(HeadRow, 1).incarnation

    def set_incarnation(self, incarnation: str) -> None:
        """From now on the head's position belongs to this event log."""
        with writing(self._engine) as session:
            lock_head(session).incarnation = incarnation

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
    ) -> WindowRecord:
        """Make a window a fact: its bounds, seed and draw stand before work on it begins.

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
                status=WindowStatus.OPEN.value,
                events=events,
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
        as `candidate`.

        Args:
            head: the head that the work started from.
            window_ids: what it learned, oldest first.
            version: `next_version()`; the checkpoint was written under it.

        Raises:
            StaleHead: the head has moved, or the number is taken.
        """
        with writing(self._engine) as session:
            row = fence(session, head)
            now = now_ms()
            session.add(
                Version(
                    version=free_version(session, version),
                    parent=head.tip,
                    status=VersionStatus.CANDIDATE.value,
                    origin=origin.value,
                    position_ms=position.ms,
                    position_seq=position.seq,
                    digest=digest,
                    created_ms=now,
                    window_id=window_ids[-1] if window_ids else None,
                    strategy=dict(strategy),
                    metrics=dict(metrics),
                    gate=dict(gate),
                )
            )
            session.flush()
            close_windows(session, window_ids, WindowStatus.LEARNED, version=version)
            row.tip, row.generation = version, row.generation + 1
            row.position_ms, row.position_seq = position.ms, position.seq
            if not row.pinned:
                activation.make_active(session, row, version, now)
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
                number = next_version(session) if version is None else version
                session.add(
                    Version(
                        version=free_version(session, number),
                        parent=head.tip,
                        status=VersionStatus.REJECTED.value,
                        origin=origin.value,
                        position_ms=reached.ms,
                        position_seq=reached.seq,
                        digest=digest,
                        created_ms=now_ms(),
                        window_id=None if window is None else window.window_id,
                        strategy=dict(strategy or {}),
                        metrics=dict(metrics),
                        gate=dict(gate),
                    )
                )
            if window is not None:
                close_windows(session, [window.window_id], WindowStatus.REFUSED, metrics, gate)
                row.position_ms, row.position_seq = window.end.ms, window.end.seq
            session.flush()
            return head_record(row)

    # the operator's commits

    def activate(self, version: int, *, pin: bool = False, relearn: bool = False) -> Head:
        """Serve `version` and go on learning from it.

        What was learned since then is quarantined, or, with `relearn`, learned again: the position
        goes back to where the version had got, and the windows since are struck out.

        Raises:
            NotFound: there is no such version.
            Conflict: the gate rejected it.
        """
        with writing(self._engine) as session:
            row = lock_head(session)
            target = find_version(session, version)
            if target.status == VersionStatus.REJECTED.value:
                raise Conflict(f"version {version} was rejected and cannot be activated")
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
