"""The lessons of a window: which file holds what the mixer learns from; empty where there is none.

Revision: 0003
After: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    digest = sa.Column("lessons_digest", sa.String(64), server_default="", nullable=False)
    op.add_column("windows", digest)


def downgrade() -> None:
    op.drop_column("windows", "lessons_digest")
