"""Versions of the tables: an empty database gets the newest, an older one is migrated, a newer one is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from importlib import resources
from typing import TYPE_CHECKING

import sqlalchemy as sa

from history.errors import StorageError, VersionError
from history.tables import VERSION, journal, metadata

if TYPE_CHECKING:
    from alembic.config import Config

VERSIONS = ("0001", "0002", "0003", "0004", "0005", VERSION)  # all that were ever released, oldest first
_TABLE = "alembic_version"
_alembic = threading.Lock()  # its context is one for the whole process


def bring_up(connection: sa.Connection, url: str) -> None:
    """Create or migrate the tables, unless they are the newest already: all of it or nothing, and one at a time.

    Raises:
        VersionError: they are of a version that this program does not know. Nothing was touched.
        StorageError: the database holds something else.
    """
    if _checked_version(connection, url) == VERSION:
        return
    _begin_alone(connection)
    found = _checked_version(connection, url)  # again: somebody may have been faster
    if found is None:
        metadata.create_all(connection)
        connection.execute(sa.text(f"CREATE TABLE {_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(sa.text(f"INSERT INTO {_TABLE} VALUES (:v)"), {"v": VERSION})
        connection.execute(sa.insert(journal).values(owner="", life=time.time_ns() // 1000, place=0, at=0))
    elif found != VERSION:
        _run(connection, found, VERSION)
    connection.commit()


def check_newest(connection: sa.Connection, url: str) -> None:
    """Make sure that the tables are those of this program, and change nothing.

    Raises:
        VersionError: they are older, or newer. StorageError: the database holds something else.
    """
    found = _checked_version(connection, url)
    if found is None:
        raise StorageError(f"there is no history at {url}")
    if found != VERSION:
        raise VersionError(
            f"{url} has tables of version {found}, this program reads {VERSION}, and was asked to change nothing:"
            " a program that records there brings them up to date, and so does am history list"
        )


def _checked_version(connection: sa.Connection, url: str) -> str | None:
    names = set(sa.inspect(connection).get_table_names())  # one look: somebody may be creating them
    found = _version(connection, names)
    if found is None:
        strangers = names & set(metadata.tables)
        if strangers:
            raise StorageError(f"{url} has tables {sorted(strangers)} that are not ours: name another database")
    elif found not in VERSIONS:
        raise VersionError(
            f"{url} has tables of version {found}, this program knows up to {VERSION}: "
            "update the program, or name another file"
        )
    return found


def _begin_alone(connection: sa.Connection) -> None:
    """Begin a transaction that holds changes of tables too, and shuts out others who want to make some."""
    connection.rollback()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver itself would begin at the first row only
    else:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7165002)")


def version_of(connection: sa.Connection) -> str | None:
    """Return the version of the tables in a database, None if there are none."""
    return _version(connection, sa.inspect(connection).get_table_names())


def _version(connection: sa.Connection, names: Collection[str]) -> str | None:
    if _TABLE not in names:
        return None
    found: str | None = connection.scalar(sa.text(f"SELECT version_num FROM {_TABLE}"))
    return found


def migrate(connection: sa.Connection, version: str) -> None:
    """Migrate the tables up or down to a version, in one transaction."""
    _begin_alone(connection)
    _run(connection, version_of(connection), version)
    connection.commit()


def _run(connection: sa.Connection, found: str | None, version: str) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    with _alembic:
        if found is None or VERSIONS.index(found) <= VERSIONS.index(version):
            command.upgrade(config, version)
        else:
            command.downgrade(config, version)


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.files("history") / "migrations"))
    return config
