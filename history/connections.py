"""Connections to one database: that of the writer, and those of the readers, who never wait for it.

Readers of a file use the driver itself: a few connections are kept for the next question. All others use SQLAlchemy's
engine; in memory there is one connection for everybody, and a lock. Whatever goes wrong is a `StorageError` that says
what to do.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from history.errors import StorageError
from history.statements import Statement
from history.versions import bring_up, check_newest, version_of

LISTS = frozenset(("machines", "names"))  # values that are lists
FAILURES = (SQLAlchemyError, sqlite3.Error, OSError)
READERS = 5  # connections to a file that wait for the next question
PRAGMAS = {
    "synchronous": "FULL",  # what sync() acknowledged survives a power cut too; batches make it cheap
    "wal_autocheckpoint": "10000",  # pages; measured: a third faster than the default of 1000
    "cache_size": "-65536",  # KiB
    "busy_timeout": "5000",  # ms
}


class Connections:
    """All connections to the database of a URL, and whether there is one.

    Args:
        url: an SQLAlchemy URL of SQLite or PostgreSQL.
        read_only: nothing of it is ever changed, not even its version.

    Attributes:
        url: without the password.
        dialect: ``sqlite`` or ``postgresql``.
        path: of the file; None: it is none.
        engine: SQLAlchemy's.

    Raises:
        StorageError: no such database can be talked to.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        try:
            parsed = sa.make_url(url)
        except ArgumentError:
            raise StorageError(
                f"{url!r} is no database URL: write sqlite:///file.db or postgresql+psycopg://…"
            ) from None
        self.url = parsed.render_as_string(hide_password=True)
        self.dialect = parsed.get_backend_name()
        if self.dialect not in ("sqlite", "postgresql"):
            raise StorageError(f"{self.url}: only sqlite and postgresql are known, not {self.dialect}")
        self.path = (
            parsed.database if self.dialect == "sqlite" and parsed.database not in (None, "", ":memory:") else None
        )
        self._in_memory = self.dialect == "sqlite" and self.path is None
        options: dict[str, Any] = {}
        if self._in_memory:
            options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        elif self.dialect == "postgresql":
            options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
            if read_only:
                # beside those of the address, which may say in which schema it is
                given = parsed.query.get("options", ())
                asked = (given,) if isinstance(given, str) else given
                options["connect_args"]["options"] = " ".join((*asked, "-c default_transaction_read_only=on"))
        elif read_only:
            options = {"creator": self._connect_to_read}
        self._read_only = read_only
        try:
            self.engine = sa.create_engine(parsed, **options)
        except (NoSuchModuleError, ImportError) as exc:
            raise StorageError(f"{self.url} needs a driver that is not installed: {exc}") from None
        if self.dialect == "sqlite":
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
        # one connection for all in memory; else readers and the writer are apart
        self._lock: Any = threading.RLock() if self._in_memory else nullcontext()
        self._writer: sa.Connection | None = None
        self._readers: deque[sqlite3.Connection] = deque()  # of a file; those that nobody reads with just now

    # -- opening

    def open(self) -> None:
        """Create or migrate what is needed; see `Store.open`."""
        with self._lock, self.told("open"):
            if self.path is not None and not self.path.startswith("file:") and not self._read_only:
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            with self.engine.connect() as connection:
                if self._read_only:
                    check_newest(connection, self.url)
                else:
                    bring_up(connection, self.url)
            if self.path is not None and not self._read_only:
                self._begin_wal()  # only now that it is known to be ours

    def exists(self) -> bool:
        """Tell whether there is a history; see `Store.exists`."""
        if self.path is None:
            with self.reading() as connection:
                return version_of(connection) is not None
        if not Path(self.path).exists():
            return False
        # not through the engine, whose pragmas would turn somebody else's file to WAL
        with (
            self.told("read"),
            closing(sqlite3.connect(f"{Path(self.path).absolute().as_uri()}?mode=ro", uri=True)) as c,
        ):
            found = c.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        return found is not None

    def _connect_to_read(self) -> sqlite3.Connection:
        """Return a connection that cannot write. Of a file that nobody has open, on a disk that is read-only, too."""
        assert self.path is not None
        uri = f"{Path(self.path).absolute().as_uri()}?mode=ro"
        made = sqlite3.connect(uri, uri=True, check_same_thread=False)
        try:
            made.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            made.close()
            log = Path(f"{self.path}-wal")
            if log.exists() and log.stat().st_size:
                raise  # without its log it would be another one
            made = sqlite3.connect(f"{uri}&immutable=1", uri=True, check_same_thread=False)
        return made

    def _begin_wal(self) -> None:
        """Have readers never wait for the writer. Two who ask for it at once both fail at once, without waiting."""
        deadline = time.monotonic() + int(PRAGMAS["busy_timeout"]) / 1000
        while True:
            try:
                with self.engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            except OperationalError as exc:
                if "locked" not in str(exc.orig) or time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            self._forget_writer()
            while self._readers:
                self._readers.pop().close()
            self.engine.dispose()

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Tell of what goes wrong in a block as a `StorageError`: that it cannot do `what` to this database."""
        try:
            yield
        except FAILURES as exc:
            raise self._failure(what, exc) from exc

    def _failure(self, what: str, exc: Exception) -> StorageError:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        return StorageError(f"cannot {what} {self.url}: {_hint(str(cause).strip())}")

    # -- the writer's side

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Yield the writer's connection in a transaction; after an error it is given up for a new one."""
        with self._lock, self.told("write to"):
            if self._writer is None:
                self._writer = self.engine.connect()
            try:
                with self._writer.begin():
                    if self.dialect == "postgresql":
                        # ids in the order of commits, also with several writers: followers read by id
                        self._writer.exec_driver_sql("SELECT pg_advisory_xact_lock(7165001)")
                    yield self._writer
            except BaseException:
                self._forget_writer()
                raise

    def _forget_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None and self._in_memory:
            writer.close()  # the one connection there is holds all the data
        elif writer is not None:
            try:
                writer.invalidate()
                writer.close()
            except SQLAlchemyError:
                return  # it was gone already: that is what it is being given up for

    # -- the readers' side

    @contextmanager
    def reading(self, what: str = "read") -> Iterator[sa.Connection]:
        """Yield a connection of the engine's. `what`: is being done, for errors."""
        with self._lock, self.told(what), self.engine.connect() as connection:
            yield connection

    def ask(self, statement: Statement, **values: Any) -> Sequence[Sequence[Any]]:
        """Return all rows that a statement finds; of a file by the driver itself, which is several times as fast."""
        if self.path is None or not LISTS.isdisjoint(values):  # a list is SQLAlchemy's to spell out
            with self.reading() as connection:
                return connection.execute(statement.clause, values).all()
        try:
            reader = self._readers.pop()
        except IndexError:
            reader = self._new_reader()
        try:
            found = reader.execute(statement.text, {**statement.constants, **values}).fetchall()
        except BaseException as exc:
            reader.close()
            if isinstance(exc, FAILURES):
                raise self._failure("read", exc) from exc
            raise
        if len(self._readers) < READERS:
            self._readers.append(reader)
        else:
            reader.close()
        return found

    def _new_reader(self) -> sqlite3.Connection:
        """Return a connection as the engine makes them, that is ours alone."""
        with self.told("read"):
            made = self.engine.raw_connection()
            reader = made.driver_connection
            assert isinstance(reader, sqlite3.Connection)
            made.detach()  # no longer the pool's
            return reader


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for name, value in PRAGMAS.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _hint(problem: str) -> str:
    hints = {
        "unable to open database file": "the folder does not exist, or may not be written to",
        "file is not a database": "this file is something else: name another one",
        "attempt to write a readonly database": "the file is read-only: change its permissions, or name another one",
        "database is locked": "another program is writing to it: one writer at a time",
        "database or disk is full": "make room; until then rows wait in memory",
    }
    hint = next((h for text, h in hints.items() if text in problem), "")
    return f"{problem} ({hint})" if hint else problem
