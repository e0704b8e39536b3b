"""The first tables: machines, schemas and transitions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

HASH = sa.String(32)
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create everything."""
    op.create_table("schema", sa.Column("hash", HASH, primary_key=True), sa.Column("body", sa.Text, nullable=False))
    op.create_table(
        "state",
        sa.Column("schema_hash", HASH, sa.ForeignKey("schema.hash"), primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
    )
    op.create_table(
        "machine",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("schema_hash", HASH, sa.ForeignKey("schema.hash"), nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("parent", sa.Text),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("first_at", "last_at", "epoch", "seq", "machine_tick", "horizon")
        ),
        sa.Column("ticks", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("owner", "name"),
    )
    op.create_table(
        "machine_schema",
        sa.Column("machine_id", SERIAL, sa.ForeignKey("machine.id"), primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True),
        sa.Column("schema_hash", HASH, sa.ForeignKey("schema.hash"), nullable=False),
    )
    op.create_table(
        "transition",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("machine_id", SERIAL, sa.ForeignKey("machine.id"), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("at", "epoch", "seq")),
        sa.Column("mutation", sa.SmallInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("called", "changed", "active")),
        sa.Column("wide", sa.LargeBinary),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("time_sum", "time_diff")),
        sa.Column("ticks", sa.LargeBinary, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("tx_id", "source_machine", "source_tx", "arguments")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("transition_time", "transition", ["machine_id", "at"], postgresql_include=["changed", "active"])
    else:
        op.create_index("transition_time", "transition", ["machine_id", "at", "changed", "active"])
    op.create_index("transition_number", "transition", ["machine_id", "epoch", "seq"], unique=True)


def downgrade() -> None:
    """Drop everything."""
    for table in ("transition", "machine_schema", "machine", "state", "schema"):
        op.drop_table(table)
