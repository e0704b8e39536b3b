"""An index from a cause to its effects; only rows that have a cause are in it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

HAS_CAUSE = sa.text("source_tx IS NOT NULL")


def upgrade() -> None:
    """Create the index."""
    op.create_index(
        "transition_cause",
        "transition",
        ["source_machine", "source_tx"],
        sqlite_where=HAS_CAUSE,
        postgresql_where=HAS_CAUSE,
    )


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("transition_cause", "transition")
