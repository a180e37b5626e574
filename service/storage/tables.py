"""The registry's tables. ("Model" means a torch model here, so these are tables.)

Times are UTC in Unix milliseconds, log positions two integers. What the schema itself can promise
stands in it: one head, at most one active version, at most one queued job of a mode.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    """Root of all tables; constraints are named so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, int: BigInteger, str: Text}  # noqa: RUF012 - read by SQLAlchemy as declared


class Version(Table):
    """A model version, whatever became of it."""

    __tablename__ = "versions"
    __table_args__ = (
        Index(
            "uq_versions_one_active",
            "status",
            unique=True,
            sqlite_where=text("status = 'active'"),
            postgresql_where=text("status = 'active'"),
        ),
        Index(
            "ix_versions_with_files",
            "version",
            sqlite_where=text("NOT pruned"),
            postgresql_where=text("NOT pruned"),
        ),
    )

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    parent: Mapped[int | None] = mapped_column(Integer, ForeignKey("versions.version"))
    status: Mapped[str] = mapped_column(String(16))
    origin: Mapped[str] = mapped_column(String(16))
    position_ms: Mapped[int]
    position_seq: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    created_ms: Mapped[int]
    activated_ms: Mapped[int | None]
    pruned: Mapped[bool]
    """Whether its checkpoint has been removed (or is about to be)."""
    window_id: Mapped[int | None]
    strategy: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    gate: Mapped[dict[str, Any]]


class Window(Table):
    """A stretch of the log with its seed and its replay draw. Ids are never given twice."""

    __tablename__ = "windows"
    __table_args__ = (
        Index("ix_windows_end", "end_ms", "end_seq"),
        Index("ix_windows_status", "status"),
        {"sqlite_autoincrement": True},
    )

    window_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    parent: Mapped[int] = mapped_column(Integer, ForeignKey("versions.version"))
    version: Mapped[int | None] = mapped_column(Integer, ForeignKey("versions.version"))
    """The version that learned it."""
    start_ms: Mapped[int]
    start_seq: Mapped[int]
    end_ms: Mapped[int]
    end_seq: Mapped[int]
    seed: Mapped[int]
    draw_digest: Mapped[str] = mapped_column(String(64))
    lessons_digest: Mapped[str] = mapped_column(String(64), server_default=text("''"))
    status: Mapped[str] = mapped_column(String(16))
    events: Mapped[int]
    rate: Mapped[float] = mapped_column(Float, server_default=text("1.0"))
    """What the learning rate is multiplied by."""
    attempts: Mapped[int] = mapped_column(Integer)
    """How often work on it has begun."""
    created_ms: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    gate: Mapped[dict[str, Any]]


class HeadRow(Table):
    """The one row that says what is served and where learning goes on."""

    __tablename__ = "head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    generation: Mapped[int]
    active: Mapped[int] = mapped_column(Integer, ForeignKey("versions.version"))
    tip: Mapped[int] = mapped_column(Integer, ForeignKey("versions.version"))
    position_ms: Mapped[int]
    position_seq: Mapped[int]
    epoch: Mapped[int]
    pinned: Mapped[bool]
    incarnation: Mapped[str | None] = mapped_column(String(64))


class Secret(Table):
    """Keys of keyed hashes; they never leave the database but in memory."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)


class JobRow(Table):
    """What the learner was asked to do."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(
            "uq_jobs_one_queued",
            "mode",
            unique=True,
            sqlite_where=text("status = 'queued'"),
            postgresql_where=text("status = 'queued'"),
        ),
        Index("ix_jobs_created", "created_ms", "job_id"),
    )

    job_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    mode: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    until_ms: Mapped[int]
    until_seq: Mapped[int]
    created_ms: Mapped[int]
    reason: Mapped[str]
    progress: Mapped[float] = mapped_column(Float)
    events: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    error: Mapped[str | None]
    model_version: Mapped[int | None]
    cancel_requested: Mapped[bool]
    started_ms: Mapped[int | None]
    ended_ms: Mapped[int | None]


class ItemRow(Table):
    """A catalogue entry or a tombstone. What clients wrote is one JSON document."""

    __tablename__ = "items"
    __table_args__ = (Index("ix_items_revision", "revision"),)

    item_id: Mapped[str] = mapped_column(String(256), primary_key=True)
    document: Mapped[dict[str, Any]]
    deleted: Mapped[bool]
    revision: Mapped[int]
    updated_ms: Mapped[int]
    created_ms: Mapped[int] = mapped_column(server_default=text("0"))


class CatalogueHead(Table):
    """The one row that orders all writes to the catalogue."""

    __tablename__ = "catalogue_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    revision: Mapped[int]


class ApiKeyRow(Table):
    """An api key, by the digest of its token; it stays when it is revoked."""

    __tablename__ = "api_keys"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    scopes: Mapped[list[str]]
    created_ms: Mapped[int]
    revoked_ms: Mapped[int | None]
