"""What the registry knows: versions, windows and the head, read as they are."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

from sqlalchemy import Engine, not_, select
from sqlalchemy.exc import IntegrityError

from service.domain.interactions import START, Position
from service.domain.versions import Head, VersionRecord, WindowRecord, WindowStatus
from service.storage import activation
from service.storage.database import reading, writing
from service.storage.fencing import find_version, next_version
from service.storage.hashing import registry_mark
from service.storage.records import head_record, version_record, window_record
from service.storage.tables import HeadRow, Secret, Version, Window

_SECRET_BYTES = 32


class Lookups:
    """The reading half of `Registry`.

    Args:
        engine: a database that `migrate` has prepared.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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

    def versions(self, limit: int = 100, before: int | None = None) -> list[VersionRecord]:
        """The latest `limit` versions, newest first; those below `before` alone, if it is given."""
        query = select(Version).order_by(Version.version.desc()).limit(limit)
        if before is not None:
            query = query.where(Version.version < before)
        with reading(self._engine) as session:
            return [version_record(row) for row in session.scalars(query)]

    def with_files(self) -> list[VersionRecord]:
        """The versions whose checkpoints have not been removed, newest first."""
        query = select(Version).where(not_(Version.pruned)).order_by(Version.version.desc())
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

    def lessons(self, version: int, limit: int) -> list[dict[str, Any]]:
        """The metrics of the windows that led to `version`, in the order of the log: those that its
        lineage learned, and those refused on the way. The latest `limit` of them."""
        lineage = activation.lineage_of(version, limit)
        learned = select(Version.position_ms, Version.position_seq, Version.metrics).where(
            Version.window_id.is_not(None), Version.version.in_(lineage)
        )
        refused = select(Window.end_ms, Window.end_seq, Window.metrics).where(
            Window.status == WindowStatus.REFUSED.value, Window.parent.in_(lineage)
        )
        with reading(self._engine) as session:
            found = [tuple(row) for query in (learned, refused) for row in session.execute(query)]
        return [metrics for _, _, metrics in sorted(found, key=lambda row: row[:2])[-limit:]]

    def windows_ended_since(self, ms: int) -> list[WindowRecord]:
        """Windows that were learned or refused and opened at `ms` (Unix milliseconds) or later, in
        the order of the log."""
        ended = (WindowStatus.LEARNED.value, WindowStatus.REFUSED.value)
        query = (
            select(Window)
            .where(Window.status.in_(ended), Window.created_ms >= ms)
            .order_by(Window.end_ms, Window.end_seq, Window.window_id)
        )
        with reading(self._engine) as session:
            return [window_record(row) for row in session.scalars(query)]

    def passed_by(self, until: Position) -> list[tuple[Position, Position]]:
        """Stretches (after, up to) of the log up to `until` that have no effect on the tip.

        They were refused, or undone by a rollback; neighbours are one stretch.
        """
        passed = (WindowStatus.REFUSED.value, WindowStatus.QUARANTINED.value)
        query = (
            select(Window.start_ms, Window.start_seq, Window.end_ms, Window.end_seq)
            .where(Window.status.in_(passed), not_(activation.ends_after(until)))
            .order_by(Window.start_ms, Window.start_seq)
        )
        found: list[tuple[Position, Position]] = []
        with reading(self._engine) as session:
            for start_ms, start_seq, *end in session.execute(query):
                start, stop = Position(start_ms, start_seq), Position(*end)
                if found and start <= found[-1][1]:
                    start, last = found.pop()
                    stop = max(stop, last)
                found.append((start, stop))
        return found

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

    def mark(self) -> str:
        """The registry's own name, by which an event log knows its owner.

        A copy of the database is the same registry; another database is another one.
        """
        return registry_mark(self.secret())

    def incarnation(self) -> str | None:
        """The event log that the head's position belongs to; None before the first."""
        with reading(self._engine) as session:
            return session.get_one(HeadRow, 1).incarnation
