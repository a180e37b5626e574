"""What the activation of a version does to the head, to other versions and to windows.

The windows of the active lineage (the version and its ancestors) are `learned`; those that only
other branches learned are `quarantined`. So a rollback and a later return to the newer version
both leave the windows saying what the model knows.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, delete, literal, or_, select, update
from sqlalchemy.orm import Session

from service.domain.interactions import Position
from service.domain.versions import VersionStatus, WindowStatus
from service.storage.tables import HeadRow, Version, Window

_NO_BOUND = 2**31 - 1


def make_active(session: Session, head: HeadRow, version: int, now: int) -> None:
    """Let `version` be the one active version. (The old one retires first: never two at once.)"""
    _set_status(session, head.active, VersionStatus.RETIRED)
    session.execute(
        update(Version)
        .where(Version.version == version)
        .values(status=VersionStatus.ACTIVE.value, activated_ms=now)
    )
    session.expire_all()
    head.active = version


def activate(session: Session, head: HeadRow, target: Version, *, relearn: bool, now: int) -> None:
    """Move active and tip to `target`, and the position back with `relearn`.

    Without it the position is kept, unless `target` has learned further (it comes from before a
    relearning that has not caught up): what a version knows it must not be taught again.
    """
    version, reached = target.version, Position(target.position_ms, target.position_seq)
    kept = Position(head.position_ms, head.position_seq)
    position = reached if relearn else max(kept, reached)
    make_active(session, head, version, now)
    head.tip, head.generation = version, head.generation + 1
    _retire_waiting(session, version)
    strike_open(session)
    lineage = lineage_of(version)
    head.position_ms, head.position_seq = position.ms, position.seq
    if relearn:
        session.execute(
            delete(Window).where(
                ends_after(reached), or_(Window.version.is_(None), Window.version.not_in(lineage))
            ),
            execution_options={"synchronize_session": False},
        )
    _tell_windows(session, lineage)


def strike_open(session: Session) -> None:
    """Windows in work on a tip that is not the tip any more are not windows: they are cut anew."""
    session.execute(delete(Window).where(Window.status == WindowStatus.OPEN.value))


def ends_after(position: Position) -> ColumnElement[bool]:
    """Windows whose end lies behind `position`."""
    return or_(
        Window.end_ms > position.ms,
        and_(Window.end_ms == position.ms, Window.end_seq > position.seq),
    )


def _retire_waiting(session: Session, version: int) -> None:
    """Candidates that the head has turned away from wait for nothing any more."""
    session.execute(
        update(Version)
        .where(Version.status == VersionStatus.CANDIDATE.value, Version.version != version)
        .values(status=VersionStatus.RETIRED.value)
    )


def _tell_windows(session: Session, lineage: Select[tuple[int]]) -> None:
    for status, belongs in (
        (WindowStatus.LEARNED, Window.version.in_(lineage)),
        (WindowStatus.QUARANTINED, Window.version.not_in(lineage)),
    ):
        session.execute(
            update(Window)
            .where(Window.version.is_not(None), Window.status != status.value, belongs)
            .values(status=status.value)
            .execution_options(synchronize_session=False)
        )


def lineage_of(version: int, most: int = _NO_BOUND) -> Select[tuple[int]]:
    """The version and its ancestors, the latest `most`: a recursive query, to stand within others
    however long."""
    place = literal(1).label("place")
    start = select(Version.version, Version.parent, place).where(Version.version == version)
    line = start.cte(recursive=True)
    line = line.union_all(
        select(Version.version, Version.parent, line.c.place + 1).where(
            Version.version == line.c.parent, line.c.place < most
        )
    )
    return select(line.c.version)


def _set_status(session: Session, version: int, status: VersionStatus) -> None:
    session.execute(update(Version).where(Version.version == version).values(status=status.value))
