"""Graphs: horizons, checkpoints, and indexes by which pages of changes are found."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TABLES = ("graph_vertex", "graph_edge")
MOMENTS = ("since", "until")


def upgrade() -> None:
    """Add them."""
    for column in ("horizon", "pruned"):
        op.add_column("graph_life", sa.Column(column, sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "graph_checkpoint",
        sa.Column(
            "life",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("graph_life.id"),
            primary_key=True,
        ),
        sa.Column("at", sa.BigInteger, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    for table in TABLES:
        for moment in MOMENTS:
            op.drop_index(f"{table}_{moment}", table)
            op.create_index(f"{table}_{moment}", table, ["life", moment, "number"])


def downgrade() -> None:
    """Take them away."""
    for table in TABLES:
        for moment in MOMENTS:
            op.drop_index(f"{table}_{moment}", table)
            op.create_index(f"{table}_{moment}", table, ["life", moment])
    op.drop_table("graph_checkpoint")
    for column in ("horizon", "pruned"):
        op.drop_column("graph_life", column)
