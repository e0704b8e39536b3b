"""Tables and their versions: from nothing, up and down, and what is refused."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import trio

from history import HistoryError, StorageError, VersionError, open_history, open_store
from history.sql import SqlStore
from history.tables import VERSION, metadata
from history.versions import VERSIONS, migrate, version_of
from machine import Machine, State, bind_state

if TYPE_CHECKING:
    from tests.history.conftest import Fresh, Kept, Place, Wall


def reflected(engine: sa.Engine) -> dict[str, Any]:
    """Return all that a database says about its tables."""
    inspector = sa.inspect(engine)
    tables: dict[str, Any] = {}
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        columns = inspector.get_columns(table)
        tables[table] = {
            "columns": [(c["name"], str(c["type"]), c["nullable"], bool(c.get("autoincrement"))) for c in columns],
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "unique": sorted(tuple(u["column_names"]) for u in inspector.get_unique_constraints(table)),
            "references": sorted(
                (tuple(f["constrained_columns"]), f["referred_table"], tuple(f["referred_columns"]))
                for f in inspector.get_foreign_keys(table)
            ),
            "indexes": sorted(
                (
                    i["name"],
                    tuple(i["column_names"]),
                    i["unique"],
                    tuple(i.get("dialect_options", {}).get("postgresql_include", ())),
                    " ".join(
                        str(i.get("dialect_options", {}).get(f"{engine.dialect.name}_where", "")).strip("()").split()
                    ),
                )
                for i in inspector.get_indexes(table)
            ),
        }
    return tables


def engine_of(place: Place) -> sa.Engine:
    return sa.create_engine(place.url, poolclass=sa.NullPool)


@pytest.fixture(params=["sqlite-file", "postgresql"])
def two(request: pytest.FixtureRequest, fresh: Fresh) -> tuple[Place, Place]:
    """Return two empty places of the same kind."""
    return fresh(request.param), fresh(request.param)


def test_migrated_tables_are_those_that_are_created(two: tuple[Place, Place]) -> None:
    created, migrated = map(engine_of, two)
    metadata.create_all(created)
    with migrated.connect() as connection:
        migrate(connection, VERSION)
        assert version_of(connection) == VERSION
    assert reflected(migrated) == reflected(created)


def test_the_tables_hold_what_the_specification_lists(two: tuple[Place, Place]) -> None:
    created = engine_of(two[0])
    metadata.create_all(created)
    tables = reflected(created)
    assert set(tables) == {
        "graph_checkpoint",
        "graph_edge",
        "graph_life",
        "graph_vertex",
        "journal",
        "machine",
        "machine_schema",
        "schema",
        "state",
        "transition",
    }
    assert " ".join(name for name, *_ in tables["transition"]["columns"]) == (
        "id machine_id at epoch seq mutation called changed active wide time_sum time_diff ticks "
        "tx_id source_machine source_tx arguments"
    )
    indexes = {name: rest for name, *rest in tables["transition"]["indexes"]}
    covered = ("changed", "active")
    if created.dialect.name == "sqlite":
        assert indexes["transition_time"] == [("machine_id", "at", *covered), 0, (), ""]
    else:
        columns, unique, included, where = indexes["transition_time"]
        assert (unique, included, where) == (False, covered, "")
        assert columns[:2] == ("machine_id", "at")
    assert indexes["transition_number"][:2] == [("machine_id", "epoch", "seq"), True]
    assert indexes["transition_cause"][3] == "source_tx IS NOT NULL"
    assert tables["machine"]["unique"] == [("owner", "name")]


def test_up_and_down_and_up_again(two: tuple[Place, Place]) -> None:
    once, often = map(engine_of, two)
    with once.connect() as connection:
        migrate(connection, "0001")
    with often.connect() as connection:
        migrate(connection, VERSION)
        migrate(connection, "0001")
        assert version_of(connection) == "0001"
        assert reflected(often) == reflected(once)
        migrate(connection, VERSION)
        migrate(connection, VERSION)
        assert version_of(connection) == VERSION
    metadata.create_all(once)
    assert {n for n, *_ in reflected(often)["transition"]["indexes"]} == {
        "transition_cause",
        "transition_number",
        "transition_time",
    }


async def fill(place: Place, kept: Kept) -> None:
    one = Machine({"A": State(), "B": State()}, id="one")
    two = Machine({"A": State(), "B": State()}, id="two")
    bind_state(one, "A", two, "B")
    async with kept(place) as history:
        history.record(one)
        history.record(two, owner="ann", arguments=True)
        for i in range(10):
            one.toggle("A", i=i)
            two.toggle("A", i=i)


async def all_of(place: Place, kept: Kept) -> list[Any]:
    async with kept(place) as history:
        found = [r async for r in history.between()]
        caused = [await history.effects(r) for r in found]
        return [await history.machines(), found, caused]


async def test_what_was_recorded_survives_migrations(lasting: Place, kept: Kept) -> None:
    await fill(lasting, kept)
    before = await all_of(lasting, kept)
    assert sum(map(len, before[2])) == 10
    with engine_of(lasting).connect() as connection:
        migrate(connection, "0001")
        assert version_of(connection) == "0001"
    # opening migrates
    assert await all_of(lasting, kept) == before
    with engine_of(lasting).connect() as connection:
        assert version_of(connection) == VERSION


async def test_every_version_is_brought_up_by_opening(lasting: Place, kept: Kept) -> None:
    for version in VERSIONS:
        with engine_of(lasting).connect() as connection:
            migrate(connection, version)
        async with kept(lasting) as history:
            assert await history.machines() == []


async def test_a_newer_version_is_refused_and_not_touched(lasting: Place, kept: Kept) -> None:
    await fill(lasting, kept)
    engine = engine_of(lasting)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("ALTER TABLE machine ADD COLUMN colour TEXT"))
    before = reflected(engine)
    content = contents(lasting)
    with pytest.raises(VersionError) as caught:
        async with kept(lasting):
            pass
    assert "version 9999" in str(caught.value)
    assert f"this program knows up to {VERSION}" in str(caught.value)
    assert "update the program, or name another file" in str(caught.value)
    assert reflected(engine) == before
    assert contents(lasting) == content
    with engine.connect() as connection:
        assert version_of(connection) == "9999"


def contents(place: Place) -> bytes:
    """Return the bytes of an SQLite file; nothing for other places."""
    return Path(place.url.removeprefix("sqlite:///")).read_bytes() if place.kind == "sqlite-file" else b""


@pytest.mark.parametrize("table", ["transition", "state"])
async def test_tables_of_others_that_are_called_as_ours_are_left_alone(lasting: Place, kept: Kept, table: str) -> None:
    engine = engine_of(lasting)
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE {table} (what TEXT)"))
        connection.execute(sa.text(f"INSERT INTO {table} VALUES ('mine')"))
    before, content = reflected(engine), contents(lasting)
    with pytest.raises(StorageError, match=rf"has tables \['{table}'\] that are not ours: name another database"):
        async with kept(lasting):
            pass
    assert reflected(engine) == before
    assert contents(lasting) == content
    with engine.connect() as connection:
        assert connection.scalar(sa.text(f"SELECT what FROM {table}")) == "mine"


async def test_tables_of_others_under_other_names_do_no_harm(lasting: Place, kept: Kept) -> None:
    with engine_of(lasting).begin() as connection:
        connection.execute(sa.text("CREATE TABLE guests (name TEXT)"))
    await fill(lasting, kept)
    assert "guests" in reflected(engine_of(lasting))


async def test_the_migrations_of_another_program_are_refused(lasting: Place, kept: Kept) -> None:
    with engine_of(lasting).begin() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('3f2a91c0')"))
    with pytest.raises(VersionError, match="3f2a91c0"):
        async with kept(lasting):
            pass


async def test_several_that_open_an_empty_place_at_once_agree(lasting: Place, kept: Kept) -> None:
    async def open_and_close() -> None:
        async with kept(lasting) as history:
            assert await history.machines() == []

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(open_and_close)
    with engine_of(lasting).connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM alembic_version")) == 1


class EndOfProcessError(Exception):
    """Stands for the end of a process: what was not committed by then is gone."""


def test_creating_the_tables_is_all_or_nothing(lasting: Place) -> None:
    """Stop at each statement in turn: what is left can always be opened."""
    for statements in range(200):
        store = open_store(lasting.url)
        assert isinstance(store, SqlStore)
        left = [statements]

        @sa.event.listens_for(store.engine, "before_cursor_execute")
        def count(*_: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise EndOfProcessError

        try:
            store.open()
        except EndOfProcessError:
            store.close()
        else:
            store.close()
            assert statements > 10
            return
    pytest.fail("opening takes more than 200 statements")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is no database URL: write sqlite:///file.db or postgresql"),
        ("mysql://localhost/x", "only sqlite and postgresql are known, not mysql"),
        ("postgresql+nonsense://x/y", "needs a driver that is not installed"),
    ],
)
async def test_a_url_that_leads_nowhere_is_refused(url: str, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        async with open_history(url):
            pass


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot open postgresql") as caught:
        async with open_history(f"postgresql+psycopg://ann:secret@/x?host={tmp_path}"):
            pass
    assert "secret" not in str(caught.value)


async def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ann, " * 1000)
    with pytest.raises(StorageError, match=r"not a database \(this file is something else: name another one\)"):
        async with open_history(f"sqlite:///{path}"):
            pass
    assert path.read_text() == "Dear Ann, " * 1000


async def test_a_folder_that_is_missing_is_made(tmp_path: Path, wall: Wall) -> None:
    async with open_history(f"sqlite:///{tmp_path}/a/b/h.db", now=wall):
        pass
    assert (tmp_path / "a" / "b" / "h.db").exists()


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot open"):
        async with open_history(f"sqlite:///{tmp_path}/file/h.db"):
            pass


async def test_the_file_in_the_data_directory_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    async with open_history() as history:
        assert history.store.url == f"sqlite:///{tmp_path / 'asyncmachine' / 'history.db'}"
    assert (tmp_path / "asyncmachine" / "history.db").exists()


async def test_a_uri_names_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_history(f"sqlite:///file:{tmp_path}/h.db?uri=true"):
        pass
    assert set(os.listdir(tmp_path)) == {"h.db"}


async def test_options_that_cannot_be_meant_are_refused(place: Place, kept: Kept) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"bufer": 3}, "takes the options of Limits: buffer, batch"),
        ({"buffer": 0}, "at least 1"),
        ({"batch": 0}, "at least 1"),
        ({"overflow": "explode"}, "overflow 'block' or 'drop'"),
        ({"max_age": "90 days"}, "is no span of time"),
        ({"max_rows": 0}, "at least one row of each machine stays"),
    ]
    for options, message in wrong:
        with pytest.raises(HistoryError, match=message):
            async with kept(place, **options):
                pass


async def test_a_file_is_in_the_mode_in_which_readers_do_not_wait(sqlite_file: Place, kept: Kept) -> None:
    async with kept(sqlite_file) as history:
        assert isinstance(history.store, SqlStore)
        with history.store.engine.connect() as connection:
            modes = [connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous")]
        assert modes == ["wal", 2]
    path = sqlite_file.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_closing_leaves_one_file(tmp_path: Path, wall: Wall) -> None:
    async with open_history(f"sqlite:///{tmp_path}/h.db", now=wall) as history:
        history.record(Machine({"A": State()}, id="m"))
    assert os.listdir(tmp_path) == ["h.db"]
