"""The ground: registry, head, windows, jobs, catalogue, keys.

Version 1 is registered: empty and active, so that there is always a version to name.

Revision: 0001
After: nothing
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    versions = _create_versions()
    head = _create_windows_and_head()
    _create_jobs()
    catalogue = _create_catalogue()
    _create_keys()
    _insert_the_first_version(versions, head)
    op.bulk_insert(catalogue, [{"id": 1, "revision": 0}])


def _create_versions() -> sa.Table:
    versions = op.create_table(
        "versions",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("position_ms", sa.BigInteger(), nullable=False),
        sa.Column("position_seq", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("activated_ms", sa.BigInteger(), nullable=True),
        sa.Column("pruned", sa.Boolean(), nullable=False),
        sa.Column("window_id", sa.BigInteger(), nullable=True),
        sa.Column("strategy", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("gate", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_versions"),
        sa.ForeignKeyConstraint(["parent"], ["versions.version"], name="fk_versions_parent_versions"),
    )
    op.create_index(
        "uq_versions_one_active",
        "versions",
        ["status"],
        unique=True,
        sqlite_where=sa.text("status = 'active'"),
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "ix_versions_with_files",
        "versions",
        ["version"],
        sqlite_where=sa.text("NOT pruned"),
        postgresql_where=sa.text("NOT pruned"),
    )
    return versions


def _create_windows_and_head() -> sa.Table:
    """Windows, the one head row and the secret of the hashes; returns the table of the head."""
    op.create_table(
        "windows",
        sa.Column("window_id", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("start_seq", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_seq", sa.BigInteger(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("draw_digest", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("gate", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("window_id", name="pk_windows"),
        sa.ForeignKeyConstraint(["parent"], ["versions.version"], name="fk_windows_parent_versions"),
        sa.ForeignKeyConstraint(
            ["version"], ["versions.version"], name="fk_windows_version_versions"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_windows_end", "windows", ["end_ms", "end_seq"])
    op.create_index("ix_windows_status", "windows", ["status"])
    head = op.create_table(
        "head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("tip", sa.Integer(), nullable=False),
        sa.Column("position_ms", sa.BigInteger(), nullable=False),
        sa.Column("position_seq", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("incarnation", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_head"),
        sa.CheckConstraint("id = 1", name=op.f("ck_head_one_row")),
        sa.ForeignKeyConstraint(["active"], ["versions.version"], name="fk_head_active_versions"),
        sa.ForeignKeyConstraint(["tip"], ["versions.version"], name="fk_head_tip_versions"),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    return head


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_seq", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("model_version", sa.BigInteger(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )
    op.create_index(
        "uq_jobs_one_queued",
        "jobs",
        ["mode"],
        unique=True,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index("ix_jobs_created", "jobs", ["created_ms", "job_id"])


def _create_catalogue() -> sa.Table:
    """Items, and the revision of all of them; returns the table of the latter."""
    op.create_table(
        "items",
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_items"),
    )
    op.create_index("ix_items_revision", "items", ["revision"])
    catalogue = op.create_table(
        "catalogue_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_catalogue_head"),
        sa.CheckConstraint("id = 1", name=op.f("ck_catalogue_head_one_row")),
    )
    return catalogue


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name="pk_api_keys"),
        sa.UniqueConstraint("name", name="uq_api_keys_name"),
    )


def _insert_the_first_version(versions: sa.Table, head: sa.Table) -> None:
    now = time.time_ns() // 1_000_000
    op.bulk_insert(
        versions,
        [
            {
                "version": 1,
                "status": "active",
                "origin": "initial",
                "position_ms": 0,
                "position_seq": 0,
                "digest": "",
                "created_ms": now,
                "activated_ms": now,
                "pruned": False,
                "strategy": {},
                "metrics": {},
                "gate": {},
            }
        ],
    )
    op.bulk_insert(
        head,
        [
            {
                "id": 1,
                "generation": 1,
                "active": 1,
                "tip": 1,
                "position_ms": 0,
                "position_seq": 0,
                "epoch": 0,
                "pinned": False,
            }
        ],
    )


def downgrade() -> None:
    for table in (
        "api_keys",
        "catalogue_head",
        "items",
        "jobs",
        "secrets",
        "head",
        "windows",
        "versions",
    ):
        op.drop_table(table)
