"""Graphs: their lives, vertices and edges, each with from when until when it was there."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TEXTS = {
    "graph_vertex": ("kind", "peer", "machine", "state"),
    "graph_edge": (
        "link",
        *(f"{end}_{name}" for end in ("source", "target") for name in ("kind", "peer", "machine", "state")),
        "label",
    ),
}


def upgrade() -> None:
    """Create the tables, and what finds a moment in them."""
    op.create_table(
        "graph_life",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("graph", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("began", "last")),
        sa.Column("ended", sa.SmallInteger, nullable=False),
    )
    for table, texts in TEXTS.items():
        op.create_table(
            table,
            sa.Column("life", SERIAL, sa.ForeignKey("graph_life.id"), primary_key=True),
            sa.Column("number", sa.BigInteger, primary_key=True),
            *(sa.Column(name, sa.Text, nullable=False) for name in (*texts, "tags")),
            *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("since", "until")),
        )
        op.create_index(f"{table}_since", table, ["life", "since"])
        op.create_index(f"{table}_until", table, ["life", "until"])


def downgrade() -> None:
    """Drop them."""
    for table in ("graph_edge", "graph_vertex", "graph_life"):
        op.drop_table(table)
