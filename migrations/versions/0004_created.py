"""When an item was made, by which the latest items go; its updates do not move it.

Of items that are there already only the last write is known, so they are as of that.

Revision: 0004
After: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    created = sa.Column("created_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column("items", created)
    op.execute("UPDATE items SET created_ms = updated_ms")


def downgrade() -> None:
    op.drop_column("items", "created_ms")
