"""Lives of stores, and marks up to where the journals of others are here."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a table and a column. This store's life begins now."""
    op.add_column("machine", sa.Column("life", sa.BigInteger, nullable=False, server_default="0"))
    journal = op.create_table(
        "journal",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("life", sa.BigInteger, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(journal, [{"owner": "", "life": time.time_ns() // 1000, "place": 0, "at": 0}])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("journal")
    op.drop_column("machine", "life")
