"""What goes into a database: rows, schemas and when they began, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from history import tables
from history.codec import WRITTEN, RecordedSchema
from history.errors import StorageError
from history.stream import Identity, Stream

T = tables.transition
BLOCKS = (1000, 50)  # rows of one statement: at most 16,000 values; SQLite takes 32,766
M = tables.machine
_b = sa.bindparam
_STANDING = (
    sa.update(M)
    .where(M.c.id == _b("b_id"))
    .values(
        schema_hash=_b("b_schema"),
        tags=_b("b_tags"),
        parent=_b("b_parent"),
        first_at=sa.case((M.c.first_at == 0, _b("b_first")), else_=M.c.first_at),
        horizon=sa.case((M.c.first_at == 0, _b("b_first")), else_=M.c.horizon),
        last_at=_b("b_last"),
        seq=_b("b_seq"),
        machine_tick=_b("b_tick"),
        ticks=_b("b_ticks"),
    )
)
NULLABLE = [place for place, name in enumerate(WRITTEN) if T.c[name].nullable]


class Inserts:
    """Inserts of one dialect. What is there already is left out.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
        url: for errors.

    Attributes:
        insert: makes a statement that can say what to do where something is there already.
    """

    def __init__(self, dialect: str, url: str) -> None:
        self.insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
        self._dialect = dialect
        self._url = url
        # made once: to build a statement costs more than to carry it out
        self._schema = self.insert(tables.schema).on_conflict_do_nothing()
        self._state = self.insert(tables.state).on_conflict_do_nothing()
        self._machine = self.insert(tables.machine).on_conflict_do_nothing()

    def schema(self, connection: sa.Connection, schema: RecordedSchema) -> None:
        """Insert a schema and its states."""
        values = {"hash": schema.hash, "body": schema.body}
        connection.execute(self._schema, values)
        names = [{"schema_hash": schema.hash, "index": i, "name": n} for i, n in enumerate(schema.states)]
        connection.execute(self._state, names)

    def machine(self, connection: sa.Connection, identity: Identity, schema: RecordedSchema) -> None:
        """Insert a machine of which there is nothing yet."""
        values = {
            "owner": identity.owner,
            "name": identity.name,
            "schema_hash": schema.hash,
            "tags": json.dumps(identity.tags),
            "parent": identity.parent,
            "ticks": b"",
            **dict.fromkeys(("first_at", "last_at", "epoch", "seq", "machine_tick", "horizon"), 0),
        }
        connection.execute(self._machine, values)

    def periods(self, connection: sa.Connection, periods: list[tuple[int, int, RecordedSchema]]) -> None:
        """Insert (machine id, from when, schema), and the schemas."""
        for schema in {schema.hash: schema for _, _, schema in periods}.values():
            self.schema(connection, schema)
        values = [{"machine_id": machine, "at": at, "schema_hash": schema.hash} for machine, at, schema in periods]
        connection.execute(self.insert(tables.machine_schema).on_conflict_do_nothing(), values)

    def standings(self, connection: sa.Connection, streams: Sequence[Stream]) -> None:
        """Note where the machines of streams stand now."""
        if not streams:
            return
        values = []
        for stream in streams:
            known = stream.known
            assert known is not None
            values.append(
                {
                    "b_id": known.machine_id,
                    "b_schema": known.schema_hash,
                    "b_tags": json.dumps(stream.identity.tags),
                    "b_parent": stream.identity.parent,
                    "b_first": stream.periods[0][0] if stream.periods else known.last_at,
                    "b_last": known.last_at,
                    "b_seq": known.seq,
                    "b_tick": known.machine_tick,
                    "b_ticks": known.ticks,
                }
            )
        connection.execute(_STANDING, values)

    def rows(self, connection: sa.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert rows in the order of `WRITTEN`; they may still be in the making."""
        if self._dialect == "sqlite":
            self._insert_rows(connection, iter(rows))
        else:
            self._copy_rows(connection, list(rows))

    def _insert_rows(self, connection: sa.Connection, rows: Iterator[tuple[Any, ...]]) -> None:
        """Insert many rows by one statement: the driver then lets go of the interpreter once, and not once a row."""
        for size in BLOCKS if sqlite3.sqlite_version_info >= (3, 32) else ():
            while len(block := list(islice(rows, size))) == size:
                values = list(chain.from_iterable(block))
                columns = list(WRITTEN)
                for place in reversed(NULLABLE):  # most often nothing but NULL: binding that costs as much as a number
                    if values[place :: len(columns)].count(None) == size:
                        del values[place :: len(columns)], columns[place]
                connection.exec_driver_sql(_insert_sqlite(tuple(columns), size), tuple(values))
            rows = iter(block)
        if block := list(rows):
            connection.exec_driver_sql(_insert_sqlite(WRITTEN, 1), block)

    def _copy_rows(self, connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
        import psycopg

        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        try:
            with (
                connection.begin_nested(),
                driver.cursor() as cursor,
                cursor.copy(f"COPY transition ({', '.join(WRITTEN)}) FROM STDIN") as copy,
            ):
                for row in rows:
                    copy.write_row(row)
        except psycopg.errors.UniqueViolation:  # some are there already: leave these out
            insert = postgresql.insert(T).on_conflict_do_nothing()
            connection.execute(insert, [dict(zip(WRITTEN, row, strict=True)) for row in rows])
        except psycopg.Error as exc:  # here the driver speaks for itself
            raise StorageError(f"cannot write to {self._url}: {str(exc).strip()}") from exc


@cache
def _insert_sqlite(columns: tuple[str, ...], count: int) -> str:
    """Return the statement that inserts so many rows, but those which are there already.

    OR FAIL is for speed: SQLite keeps what it needs to undo a statement on its own only for those that may have to be.
    Whatever fails undoes the whole transaction.
    """
    one = f"({', '.join('?' * len(columns))})"
    head = f"INSERT OR FAIL INTO {T.name} ({', '.join(columns)}) VALUES "
    return head + ", ".join([one] * count) + " ON CONFLICT DO NOTHING"
