"""The SQL store: SQLite in a file or in memory, PostgreSQL by URL.

Tables and questions are SQLAlchemy Core. The one hot INSERT is compiled once and executed many-fold on a connection
that the writer keeps; on PostgreSQL it is a COPY, see `history.inserts`. Readers have connections of their own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from history import statements, tables
from history.codec import LOW, RecordedSchema, Row, Standing, unpack_masks
from history.connections import Connections
from history.errors import StorageError
from history.graphs import Graphs
from history.inserts import Inserts
from history.log import LogPart
from history.memory import meets
from history.sql_graphs import SqlGraphs
from history.sql_logs import rewind, write_logs
from history.statements import Statement
from history.store import EVERY, Condition, MachineRow, Mark, Store
from history.stream import Known, Stream

T = tables.transition
M = tables.machine
_MINE = (M.c.owner == sa.bindparam("of_owner")) & (M.c.name == sa.bindparam("of_name"))
BEGIN_EPOCH = sa.update(M).where(_MINE).values(epoch=M.c.epoch + 1)
OF_NAME = sa.select(M).where(_MINE)
CHUNK = 5000  # rows that a reader holds at a time


class SqlStore(Store):
    """Rows in a database. See `Store`.

    Args:
        url: an SQLAlchemy URL of SQLite or PostgreSQL (``postgresql+psycopg://…``).
        read_only: nothing of it is ever changed, not even its version.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._connections = connections = Connections(url, read_only=read_only)
        self.url, self.path, self.engine = connections.url, connections.path, connections.engine
        self.dialect = connections.dialect
        self._writing, self._reading, self._ask = connections.writing, connections.reading, connections.ask
        self.generation = -1
        self._schemas: dict[str, RecordedSchema] = {}
        self._inserts = Inserts(self.dialect, self.url)
        self.graphs: Graphs = SqlGraphs(self._inserts, self._writing, self._ask)
        self._life = 0

    def open(self) -> int:
        """Create or migrate what is needed; see `Store`."""
        self._connections.open()
        with self._reading("open") as connection:
            lasts = (sa.func.max(M.c.last_at), sa.func.max(tables.graph_life.c.last))
            return max(connection.scalar(sa.select(last)) or 0 for last in lasts)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def exists(self) -> bool:
        """Tell whether there is a history; see `Store`."""
        return self._connections.exists()

    # -- the writer's side

    def register(self, stream: Stream) -> Known:
        """Reserve an epoch; see `Store`."""
        return self.register_all([stream])[0]

    def register_all(self, streams: Sequence[Stream]) -> list[Known]:
        """Reserve an epoch of each; see `Store`."""
        if self.dialect == "sqlite":  # a file has one writer, and this is it; a server may have many
            self.generation = max(self.generation, 0)
        found = []
        with self._writing() as connection:
            for schema in {stream.schema.hash: stream.schema for stream in streams}.values():
                self._inserts.schema(connection, schema)
            for stream in streams:
                self._inserts.machine(connection, stream.identity, stream.schema)
                mine = {"of_owner": stream.identity.owner, "of_name": stream.identity.name}
                connection.execute(BEGIN_EPOCH, mine)
                found.append(connection.execute(OF_NAME, mine).one())
        return [
            Known(
                row.id, row.epoch, 0, row.last_at, row.machine_tick, row.ticks, row.schema_hash if row.first_at else ""
            )
            for row in found
        ]

    def write(self, rows: Iterable[tuple[Any, ...]], streams: Sequence[Stream]) -> int:
        """Store rows; see `Store`."""
        with self._writing() as connection:
            self._inserts.rows(connection, rows)
            for stream in streams:
                if stream.periods:
                    assert stream.known is not None
                    self._inserts.periods(connection, [(stream.known.machine_id, *period) for period in stream.periods])
            self._inserts.standings(connection, streams)
            last = connection.scalar(sa.select(sa.func.max(T.c.id))) or 0
        self.generation += any(stream.periods for stream in streams) and self.generation >= 0
        return last

    def write_logs(self, owner: str, parts: Sequence[LogPart], mark: Mark | None = None) -> bool:
        """Store rows that came from their owner; see `Store`."""
        if self.dialect == "sqlite":
            self.generation = max(self.generation, 0)
        with self._writing() as connection:
            aside = write_logs(connection, self._inserts, owner, parts, mark)
        self.generation += (aside or any(part.periods for part in parts)) and self.generation >= 0
        return aside

    def rewind(self, owner: str, name: str | None) -> None:
        """Note that logs are gone with their owner; see `Store`."""
        with self._writing() as connection:
            rewind(connection, self._inserts, owner, name)

    def prune(self, machine_id: int, before: int, limit: int) -> int:
        """Delete old rows; see `Store`."""
        old = sa.select(T.c.id).where(T.c.machine_id == machine_id, T.c.at < before).order_by(T.c.at).limit(limit)
        with self._writing() as connection:
            count = connection.execute(sa.delete(T).where(T.c.id.in_(old))).rowcount
            oldest = sa.select(sa.func.min(T.c.at)).where(T.c.machine_id == machine_id).scalar_subquery()
            connection.execute(sa.update(M).where(M.c.id == machine_id).values(horizon=oldest))
        return count

    # -- the readers' side

    def _rows(self, statement: Statement, **values: Any) -> list[Row]:
        return [Row._make(row) for row in self._ask(statement, **values)]

    def machines(self) -> list[MachineRow]:
        """Return all machines, by id."""
        return [_machine_row(row) for row in self._ask(statements.MACHINES)]

    def recorded_schema(self, hash: str) -> RecordedSchema:
        """Return a stored schema."""
        if hash not in self._schemas:
            with self._reading() as connection:
                body = connection.scalar(sa.select(tables.schema.c.body).where(tables.schema.c.hash == hash))
            if body is None:
                raise StorageError(f"{self.url} has no schema {hash}, which a machine refers to: the file is damaged")
            self._schemas[hash] = RecordedSchema.read(hash, body)
        return self._schemas[hash]

    def machine(self, machine_id: int) -> MachineRow:
        """Return one machine."""
        (row,) = self._ask(statements.MACHINE, machine=machine_id)
        return _machine_row(row)

    def find(self, owner: str, name: str) -> MachineRow | None:
        """Return one machine, if it has been written."""
        found = self._ask(statements.NAMED, owner=owner, name=name)
        return _machine_row(found[0]) if found else None

    def numbered(self, machine_id: int, after: tuple[int, int], until: tuple[int, int], limit: int) -> list[Row]:
        """Return rows of a range of numbers; see `Store`."""
        (epoch, seq), (last_epoch, last_seq) = after, until
        place = {"epoch": epoch, "seq": seq, "last_epoch": last_epoch, "last_seq": last_seq}
        return self._rows(statements.NUMBERED, machine=machine_id, chunk=limit, **place)

    def found(self, owner: str, names: Collection[str]) -> dict[str, MachineRow]:
        """Return some of an owner's machines; see `Store`."""
        found = self._ask(statements.FOUND, owner=owner, names=list(names)) if names else ()
        return {row.name: row for row in map(_machine_row, found)}

    def owned(self, owner: str, after_id: int, until_id: int, limit: int) -> list[Row]:
        """Return rows of an owner's machines; see `Store`."""
        return self._rows(statements.OWNED, owner=owner, after=after_id, until=until_id, chunk=limit)

    def mark(self, owner: str) -> Mark | None:
        """Return up to where a journal is here; see `Store`."""
        found = self._ask(statements.MARKED, owner=owner)
        return Mark(*found[0]) if found else None

    def life(self) -> int:
        """Return when it was made; see `Store`."""
        if not self._life:
            self._life = self._ask(statements.MARKED, owner="")[0][0]
        return self._life

    def periods(self) -> list[tuple[int, int, str]]:
        """Return when which schema began; see `Store`."""
        return [(owner, at, hash) for owner, at, hash in self._ask(statements.PERIODS)]

    def periods_of(self, machine_id: int) -> tuple[int, list[tuple[int, str]]]:
        """Return the last moment and the periods of a machine; see `Store`."""
        found = self._ask(statements.PERIODS_OF, machine=machine_id)
        return found[0][0], [(at, hash) for _, at, hash in found if hash is not None]

    def period_count(self) -> int:
        """Return the number of all periods."""
        return int(self._ask(statements.PERIOD_COUNT)[0][0])

    def newest(self, machine_id: int, at: int) -> Row | None:
        """Return the newest row at or before `at`."""
        found = self._ask(statements.NEWEST, machine=machine_id, at=at)
        return Row._make(found[0]) if found else None

    def oldest(self, machine_id: int, after: int) -> Row | None:
        """Return the oldest row after `after`."""
        found = self._ask(statements.OLDEST, machine=machine_id, at=after)
        return Row._make(found[0]) if found else None

    def snapshot(self, at: int, machine_ids: Sequence[int] | None) -> list[Standing]:
        """Return where each machine stood; see `Store`."""
        return self._one_each(True, at, machine_ids)

    def following(self, after: int, machine_ids: Sequence[int] | None) -> list[Standing]:
        """Return where each machine came to next; see `Store`."""
        return self._one_each(False, after, machine_ids)

    def _one_each(self, before: bool, at: int, machine_ids: Sequence[int] | None) -> list[Standing]:
        statement = statements.one_each(before, machine_ids is not None, self.dialect == "postgresql")
        found = self._ask(statement, at=at, **({} if machine_ids is None else {"machines": machine_ids}))
        return [Standing._make(row) for row in found]

    def forgotten(self, at: int) -> list[MachineRow]:
        """Return the machines with a horizon behind a moment."""
        return [_machine_row(row) for row in self._ask(statements.FORGOTTEN, at=at)]

    def scan(
        self, machine_id: int, low: int, high: int, condition: Condition, limit: int, newest_first: bool
    ) -> list[Row]:
        """Return rows of a window that meet a condition; see `Store`."""
        c = condition
        narrow = max(c.called, c.changed, c.activated, c.deactivated) <= LOW
        asked = c if narrow else EVERY
        named: dict[str, int | str] = {}
        if asked is EVERY:
            statement = statements.EVERY_ROW[newest_first]
        else:
            statement, named = statements.scan(statements.shape_of(asked), newest_first), statements.values_of(asked)
        found: list[Row] = []
        while low < high and len(found) < limit:
            chunk = limit if narrow else CHUNK
            rows = self._rows(statement, machine=machine_id, low=low, high=high, chunk=chunk, **named)
            found += rows if narrow else [row for row in rows if meets(row, c)]
            if len(rows) < chunk:
                break
            low, high = (low, rows[-1].at - 1) if newest_first else (rows[-1].at, high)
        return found[:limit]

    def flips(self, machine_id: int, index: int, low: int, high: int) -> Iterator[tuple[int, bool]]:
        """Yield when a state changed; see `Store`."""
        if 1 << index > LOW:
            yield from self._wide_flips(machine_id, index, low, high)
            return
        bit = 1 << index
        while True:
            found = self._ask(statements.FLIPS, machine=machine_id, low=low, high=high, bit=bit, chunk=CHUNK)
            for at, active in found:
                yield at, active & bit != 0
            if len(found) < CHUNK:
                return
            low = found[-1][0]

    def _wide_flips(self, machine_id: int, index: int, low: int, high: int) -> Iterator[tuple[int, bool]]:
        while rows := self.scan(machine_id, low, high, Condition(changed=1 << index), CHUNK, False):
            for row in rows:
                yield row.at, bool(unpack_masks(row)[2] >> index & 1)
            low = rows[-1].at

    def density(self, low: int, high: int, width: int, machine_ids: Sequence[int] | None) -> list[tuple[int, int, int]]:
        """Return how many rows each part of a window has; see `Store`."""
        some = {} if machine_ids is None else {"machines": machine_ids}
        found = self._ask(statements.density(machine_ids is not None), low=low, high=high, width=width, **some)
        return [(int(n), rows, int(errors)) for n, rows, errors in found]

    def feed(self, after_id: int, limit: int, machine_ids: Sequence[int] | None) -> list[Row]:
        """Return rows in the order in which they were stored; see `Store`."""
        some = {} if machine_ids is None else {"machines": machine_ids}
        return self._rows(statements.feed(machine_ids is not None), after=after_id, chunk=limit, **some)

    def last_id(self) -> int:
        """Return the greatest id."""
        return self._ask(statements.LAST_ID)[0][0] or 0

    def caused(self, source_machine: str, source_tx: str) -> list[Row]:
        """Return the rows with this cause."""
        return self._rows(statements.CAUSED, machine=source_machine, tx=source_tx)

    def nth_newest(self, machine_id: int, n: int) -> int | None:
        """Return when the n-th newest row was."""
        statement = sa.select(T.c.at).where(T.c.machine_id == machine_id).order_by(T.c.at.desc()).offset(n - 1).limit(1)
        with self._reading() as connection:
            return connection.scalar(statement)

    def counts(self) -> dict[int, int]:
        """Return the number of rows of each machine."""
        statement = sa.select(T.c.machine_id, sa.func.count()).group_by(T.c.machine_id)
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def size(self) -> tuple[int, int]:
        """Return the number of rows and of bytes."""
        with self._reading() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(T)) or 0
            if self.dialect == "postgresql":
                return count, int(
                    connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
                )
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return count, int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def _machine_row(row: Sequence[Any]) -> MachineRow:
    pulled, life = row[-2:]
    return MachineRow(*row[:4], _tags(row[4]), *row[5:-2], bool(pulled), life)  # type: ignore[call-arg]


@lru_cache(maxsize=10_000)  # whoever asks for the machines asks for the same ones again
def _tags(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
