"""A mark on machines whose rows came from the log of their owner, and were not recorded here."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("machine", sa.Column("pulled", sa.SmallInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("machine", "pulled")
