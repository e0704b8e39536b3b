"""The tables, for SQLite and PostgreSQL. `docs/history.md` draws them; migrations lead to them from older files."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION = "0006"  # the newest migration, which creating these tables amounts to

metadata = MetaData()
Serial = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER PRIMARY KEY is the rowid

schema = Table(
    "schema",
    metadata,
    Column("hash", String(32), primary_key=True),
    Column("body", Text, nullable=False),
)

state = Table(
    "state",
    metadata,
    Column("schema_hash", ForeignKey("schema.hash"), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("name", Text, nullable=False),
)

machine = Table(
    "machine",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("schema_hash", ForeignKey("schema.hash"), nullable=False),
    Column("tags", Text, nullable=False),
    Column("parent", Text),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("machine_tick", BigInteger, nullable=False),
    Column("horizon", BigInteger, nullable=False),
    Column("ticks", LargeBinary, nullable=False),
    Column("pulled", SmallInteger, nullable=False, server_default="0"),  # 1: its rows came from its owner's log
    Column("life", BigInteger, nullable=False, server_default="0"),  # of the store that this log is of
    UniqueConstraint("owner", "name"),
)

machine_schema = Table(
    "machine_schema",
    metadata,
    Column("machine_id", ForeignKey("machine.id"), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("schema_hash", ForeignKey("schema.hash"), nullable=False),
)

# How far the journals of others are here; with an empty owner, the life of this store itself.
journal = Table(
    "journal",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("life", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

transition = Table(
    "transition",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("machine_id", ForeignKey("machine.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("mutation", SmallInteger, nullable=False),
    Column("called", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("active", BigInteger, nullable=False),
    Column("wide", LargeBinary),
    Column("time_sum", BigInteger, nullable=False),
    Column("time_diff", BigInteger, nullable=False),
    Column("ticks", LargeBinary, nullable=False),
    Column("tx_id", Text),
    Column("source_machine", Text),
    Column("source_tx", Text),
    Column("arguments", Text),
)

# One recording of a graph: complete from `began` up to `last`.
graph_life = Table(
    "graph_life",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("graph", Text, nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("ended", SmallInteger, nullable=False),
    Column("horizon", BigInteger, nullable=False, server_default="0"),
    Column("pruned", BigInteger, nullable=False, server_default="0"),
)

# All that was there at a moment, packed.
graph_checkpoint = Table(
    "graph_checkpoint",
    metadata,
    Column("life", ForeignKey("graph_life.id"), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)


def _graph_rows(name: str, *texts: str) -> Table:
    """Return a table of what was there while ``since <= T < until``; ``number``: of its life, as it came."""
    table = Table(
        name,
        metadata,
        Column("life", ForeignKey("graph_life.id"), primary_key=True),
        Column("number", BigInteger, primary_key=True),
        *(Column(text, Text, nullable=False) for text in (*texts, "tags")),
        Column("since", BigInteger, nullable=False),
        Column("until", BigInteger, nullable=False),  # the greatest number there is: it is still there
    )
    for moment in ("since", "until"):
        Index(f"{name}_{moment}", table.c.life, table.c[moment], table.c.number)
    return table


_VERTEX = ("kind", "peer", "machine", "state")
graph_vertex = _graph_rows("graph_vertex", *_VERTEX)
graph_edge = _graph_rows(
    "graph_edge", "link", *(f"{end}_{text}" for end in ("source", "target") for text in _VERTEX), "label"
)

# What covers a question: the flips and intervals of a state never touch the rows.
_c = transition.c
Index("transition_time", _c.machine_id, _c.at, _c.changed, _c.active).ddl_if(dialect="sqlite")
Index("transition_time", _c.machine_id, _c.at, postgresql_include=["changed", "active"]).ddl_if(dialect="postgresql")
# A transition of a machine is known by its number: recording it twice is recording it once.
Index("transition_number", _c.machine_id, _c.epoch, _c.seq, unique=True)
# Only what has a cause is in here.
_caused = _c.source_tx.is_not(None)
Index("transition_cause", _c.source_machine, _c.source_tx, sqlite_where=_caused, postgresql_where=_caused)
