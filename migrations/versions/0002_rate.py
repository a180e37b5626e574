"""The rate of a window: what the learning rate was multiplied by when it was learned.

Revision: 0002
After: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    rate = sa.Column("rate", sa.Float(), server_default=sa.text("1.0"), nullable=False)
    op.add_column("windows", rate)


def downgrade() -> None:
    op.drop_column("windows", "rate")
