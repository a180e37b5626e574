"""The head held still: the lock and the comparisons that every commit begins with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from service.domain.interactions import Position
from service.domain.versions import Head, Origin, VersionStatus, WindowStatus
from service.errors import NotFound, StaleHead
from service.storage.clock import now_ms
from service.storage.records import head_record
from service.storage.tables import HeadRow, Version, Window

_MAX_VERSION = 2**31 - 1


def lock_head(session: Session) -> HeadRow:
    """The head, held against every other writer until the transaction ends."""
    return session.get_one(HeadRow, 1, with_for_update=True)


def fence(session: Session, head: Head) -> HeadRow:
    """The locked head, which must still be the one that a commit started from.

    Raises:
        StaleHead: it has moved.
    """
    row = lock_head(session)
    now = head_record(row)
    if (now.generation, now.epoch, now.tip, now.position) != (
        head.generation,
        head.epoch,
        head.tip,
        head.position,
    ):
        raise StaleHead(f"the head has moved from {head} to {now}")
    return row


def find_version(session: Session, version: int) -> Version:
    """The row of a version.

    Raises:
        NotFound: there is none of that number.
    """
    row = session.get(Version, version) if 0 < version <= _MAX_VERSION else None
    if row is None:
        raise NotFound(f"there is no version {version}")
    return row


def next_version(session: Session) -> int:
    """The number that the next version will have."""
    return (session.scalar(select(func.max(Version.version))) or 0) + 1


def free_version(session: Session, version: int) -> int:
    """`version`, which must be the next one: its checkpoint lies under that number.

    Raises:
        StaleHead: another took it.
    """
    if version != next_version(session):
        raise StaleHead(f"version {version} is not the next one any more")
    return version


def add_version(
    session: Session,
    version: int,
    *,
    parent: int,
    status: VersionStatus,
    origin: Origin,
    position: Position,
    digest: str,
    window_id: int | None,
    strategy: Mapping[str, Any],
    metrics: Mapping[str, Any],
    gate: Mapping[str, Any],
) -> None:
    """Register a version, whose checkpoint lies under that number.

    Raises:
        StaleHead: another took the number.
    """
    session.add(
        Version(
            version=free_version(session, version),
            parent=parent,
            status=status.value,
            origin=origin.value,
            position_ms=position.ms,
            position_seq=position.seq,
            digest=digest,
            created_ms=now_ms(),
            pruned=False,
            window_id=window_id,
            strategy=dict(strategy),
            metrics=dict(metrics),
            gate=dict(gate),
        )
    )
    session.flush()


def close_windows(
    session: Session,
    window_ids: Collection[int],
    status: WindowStatus,
    metrics: Mapping[str, Any] | None = None,
    gate: Mapping[str, Any] | None = None,
    *,
    version: int | None = None,
) -> None:
    """Give windows their last word; `version` is the one that learned them."""
    values: dict[str, Any] = {"status": status.value, "version": version}
    if metrics is not None:
        values |= {"metrics": dict(metrics), "gate": dict(gate or {})}
    session.execute(update(Window).where(Window.window_id.in_(window_ids)).values(values))
