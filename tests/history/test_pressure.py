"""When the database is slow, full, locked, gone or read-only: machines go on, and nothing is lost in silence."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import trio

from history import History, HistoryError, HybridClock, Limits, Recorder, StorageError, open_history
from history.memory import MemoryStore
from history.sql import SqlStore
from machine import Machine, State

if TYPE_CHECKING:
    from history.stream import Known, Stream
    from tests.history.conftest import Kept, Place, Server, Wall

QUICK: dict[str, Any] = {"retry": 0.001, "max_retry": 0.01}
NOBODY = 65534


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Keep expected trouble out of the output."""
    with caplog.at_level(logging.CRITICAL, "asyncmachine"):
        yield


class Troubles(list[HistoryError]):
    """What `on_error` was told, and a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._more = trio.Event()

    def __call__(self, error: HistoryError) -> None:
        self.append(error)
        self._more.set()

    async def any(self) -> HistoryError:
        """Wait until there is one, and return the last."""
        while not self:
            await self._more.wait()
        return self[-1]


@pytest.fixture
def troubles() -> Troubles:
    """Return a callback that collects."""
    return Troubles()


def build(id: str = "m") -> Machine:
    return Machine({"A": State(), "B": State()}, id=id, handler_timeout=None)


def check_account(history: History, *recorders: Recorder) -> None:
    """Whatever was handed over is committed, lost, waiting, or was dropped: nothing else can become of it."""
    s = history.statistics()
    assert s.appended == s.committed + s.lost + s.encode_errors + s.waiting
    bases = len(recorders)
    assert sum(r.recorded for r in recorders) + bases == s.appended + s.dropped


async def check_stored(history: History, *recorders: Recorder) -> None:
    """All that was recorded is there: once, and without a hole."""
    await history.sync()
    check_account(history, *recorders)
    s = history.statistics()
    assert (s.lost, s.dropped, s.waiting, s.failing) == (0, 0, 0, None)
    for r in recorders:
        found = [(x.epoch, x.seq) async for x in history.between(machines=r.machine.id)]
        assert found == [(1, n) for n in range(1, r.recorded + 2)]
        assert (await history.as_of(r.machine.id)).clock == r.machine.clock()


# -- a buffer that fills up


async def test_producers_that_ask_for_room_never_fill_the_buffer(place: Place, kept: Kept) -> None:
    machines = [build(f"m{i}") for i in range(4)]
    async with kept(place, buffer=60, batch=20, overflow="drop") as history:
        recorders = [history.record(m) for m in machines]

        async def produce(machine: Machine) -> None:
            for _ in range(300):
                await history.room()
                machine.toggle("A")
                assert history.statistics().waiting <= 60 + 20

        async with trio.open_nursery() as nursery:
            for machine in machines:
                nursery.start_soon(produce, machine)
        await check_stored(history, *recorders)
        assert history.statistics().blocked == 0


async def test_producers_that_cannot_wait_are_held_up(place: Place, kept: Kept) -> None:
    machine = build()
    async with kept(place, buffer=10, batch=5, patience=60) as history:
        recorder = history.record(machine)
        for _ in range(500):
            machine.toggle("A")
        await check_stored(history, recorder)
        assert history.statistics().blocked > 0


class Gate(MemoryStore):
    """A store that writes when the gate is open, and is slow otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.open_gate = threading.Event()
        self.reached = threading.Event()

    def write(self, rows: Iterable[tuple[Any, ...]], streams: Sequence[Stream]) -> int:
        self.reached.set()
        self.open_gate.wait()
        return super().write(rows, streams)


@asynccontextmanager
async def history_on(
    store: MemoryStore | SqlStore, wall: Wall, troubles: Troubles, **limits: Any
) -> AsyncIterator[History]:
    """Open a history on a store of the test's own."""
    clock = HybridClock(wall)
    clock.resume(store.open())
    history = History(store, clock, Limits(**{**QUICK, **limits}), troubles)
    history.writer.start()
    try:
        yield history
    finally:
        await history.close()


async def test_dropping_is_counted_and_leaves_a_history_that_can_be_read(wall: Wall, troubles: Troubles) -> None:
    gate = Gate()
    machine, late = build(), build("late")
    async with history_on(gate, wall, troubles, buffer=10, batch=5, overflow="drop") as history:
        recorder = history.record(machine)
        history.writer.hurry()
        await trio.to_thread.run_sync(gate.reached.wait)
        for _ in range(100):
            machine.toggle("A")
        # a recording that begins now has its beginning all the same
        other = history.record(late)
        late.add("B")
        machine.set_schema({**machine.schema, "C": State()})
        machine.add("C")
        before = history.statistics()
        assert before.dropped >= 100 - 10
        assert before.waiting <= 10 + 5 + 2
        gate.open_gate.set()
        await history.sync()
        machine.toggle("C")
        late.add("A")
        await history.sync()
        s = history.statistics()
        assert s.appended == s.committed
        assert recorder.recorded + other.recorded + 3 == s.appended + s.dropped
        assert s.dropped == before.dropped
        assert (await history.as_of("m")).clock == machine.clock()
        assert (await history.as_of("late")).clock == late.clock()
        for name in ("m", "late"):
            found = [r.seq async for r in history.between(machines=name)]
            assert found == list(range(1, len(found) + 1))


async def test_who_waits_for_a_writer_that_is_stuck_loses_patience(wall: Wall, troubles: Troubles) -> None:
    gate = Gate()
    machine = build()
    async with history_on(gate, wall, troubles, buffer=10, batch=5, patience=0.001) as history:
        recorder = history.record(machine)
        history.writer.hurry()
        await trio.to_thread.run_sync(gate.reached.wait)
        for _ in range(20):
            machine.toggle("A")
        assert history.statistics().dropped == 10
        assert history.statistics().blocked > 0
        check_account(history, recorder)
        gate.open_gate.set()


# -- stores that fail


class Forgetful(SqlStore):
    """A store that commits, and then does not remember: the connection was lost before the answer came."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.forget = 0

    def write(self, rows: Iterable[tuple[Any, ...]], streams: Sequence[Stream]) -> int:
        last = super().write(rows, streams)
        if self.forget:
            self.forget -= 1
            raise StorageError("the connection was lost")
        return last


async def test_what_was_committed_without_an_answer_is_committed_once(
    lasting: Place, wall: Wall, troubles: Troubles
) -> None:
    store, machine = Forgetful(lasting.url), build()
    async with history_on(store, wall, troubles) as history:
        store.forget = 2
        recorder = history.record(machine)
        machine.add("A")
        await history.sync()
        store.forget = 1
        machine.add("B")
        await check_stored(history, recorder)
        assert history.statistics().write_errors == 3
        assert len([r async for r in history.between()]) == 3
    assert "the connection was lost" in str(troubles[0])


class Broken(MemoryStore):
    """A store with a bug of its own."""

    bug = True

    def register(self, stream: Stream) -> Known:
        if self.bug:
            raise ZeroDivisionError("a bug")
        return super().register(stream)


async def test_an_error_that_nobody_thought_of_does_not_end_the_writer(wall: Wall, troubles: Troubles) -> None:
    store, machine = Broken(), build()
    async with history_on(store, wall, troubles) as history:
        recorder = history.record(machine)
        assert "a bug" in str(await troubles.any())
        machine.add("A")
        assert "a bug" in str(history.statistics().failing)
        store.bug = False
        await check_stored(history, recorder)


async def test_closing_says_what_was_lost(wall: Wall, troubles: Troubles) -> None:
    store, machine = Broken(), build()
    async with history_on(store, wall, troubles, closing=0.02) as history:
        recorder = history.record(machine)
        for _ in range(41):
            machine.toggle("A")
    check_account(history, recorder)
    s = history.statistics()
    assert (s.lost, s.committed, s.waiting) == (42, 0, 0)
    assert "42 transitions could not be written to memory: before closing" in str(troubles[-1])
    with pytest.raises(StorageError, match="42 transitions were given up"):
        await history.sync()


async def test_who_waits_for_sync_while_all_is_lost_is_told(wall: Wall, troubles: Troubles) -> None:
    told: list[str] = []

    async def sync(history: History) -> None:
        try:
            await history.sync()
        except StorageError as exc:
            told.append(str(exc))

    async with trio.open_nursery() as nursery, history_on(Broken(), wall, troubles, closing=0.02) as history:
        history.record(build())
        nursery.start_soon(sync, history)
        await troubles.any()
    assert len(told) == 1
    assert told[0].startswith("1 transitions were given up")


async def test_a_job_for_a_writer_that_has_ended_is_refused(wall: Wall, troubles: Troubles) -> None:
    async with history_on(MemoryStore(), wall, troubles) as history:
        history.record(build())
    with trio.fail_after(60), pytest.raises(HistoryError, match="closed"):
        await history.run_job(lambda: None)


# -- SQLite


def store_of(history: History) -> SqlStore:
    assert isinstance(history.store, SqlStore)
    return history.store


def impatient(history: History) -> None:
    """Do not let SQLite itself wait for a lock."""
    engine = store_of(history).engine
    sa.event.listen(engine, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout=1").close())


def path_of(place: Place) -> str:
    return place.url.removeprefix("sqlite:///")


async def test_a_locked_file(sqlite_file: Place, kept: Kept, troubles: Troubles) -> None:
    machine = build()
    async with kept(sqlite_file, on_error=troubles, **QUICK) as history:
        impatient(history)
        recorder = history.record(machine)
        machine.add("A")
        await history.sync()
        with closing(sqlite3.connect(path_of(sqlite_file), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for _ in range(100):
                machine.toggle("B")
            error = await troubles.any()
            assert "database is locked (another program is writing to it: one writer at a time)" in str(error)
            assert isinstance(error, StorageError)
            s = history.statistics()
            assert (s.waiting, s.failing) == (100, str(error))
            assert s.write_errors > 0
            # readers do not mind
            assert (await history.as_of("m")).active == ("A",)
            assert len([r async for r in history.between()]) == 2
            other.execute("COMMIT")
        await check_stored(history, recorder)
        assert len(troubles) == 1, "one trouble is told once"


@pytest.mark.parametrize("overflow", ["block", "drop"])
async def test_a_full_buffer_behind_a_locked_file_drops_and_counts(
    sqlite_file: Place, kept: Kept, troubles: Troubles, overflow: str
) -> None:
    machine = build()
    async with kept(sqlite_file, on_error=troubles, buffer=20, batch=10, overflow=overflow, **QUICK) as history:
        impatient(history)
        recorder = history.record(machine)
        await history.sync()
        with closing(sqlite3.connect(path_of(sqlite_file), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            machine.add("B")
            await troubles.any()
            for _ in range(100):
                machine.toggle("A")
            s = history.statistics()
            assert s.dropped >= 100 - 20
            assert s.waiting <= 31
            other.execute("COMMIT")
        await history.sync()
        check_account(history, recorder)
        machine.toggle("A")
        await history.sync()
        assert (await history.as_of("m")).clock == machine.clock()


async def test_closing_on_a_locked_file(sqlite_file: Place, kept: Kept, troubles: Troubles) -> None:
    machine = build()
    with closing(sqlite3.connect(path_of(sqlite_file), isolation_level=None)) as other:
        async with kept(sqlite_file, on_error=troubles, closing=0.02, **QUICK) as history:
            impatient(history)
            recorder = history.record(machine)
            await history.sync()
            other.execute("BEGIN EXCLUSIVE")
            for _ in range(30):
                machine.toggle("A")
        check_account(history, recorder)
        s = history.statistics()
        assert (s.committed, s.lost) == (1, 30)
        assert "30 transitions could not be written" in str(troubles[-1])
        other.execute("COMMIT")
    async with kept(sqlite_file) as history:
        assert [r.seq async for r in history.between()] == [1]


async def test_a_limit_on_the_size_of_the_file(sqlite_file: Place, kept: Kept, troubles: Troubles) -> None:
    machine = build()
    limit = [0]
    async with kept(sqlite_file, on_error=troubles, batch=500, **QUICK) as history:
        engine = store_of(history).engine

        @sa.event.listens_for(engine, "checkout")
        def restrict(connection: Any, *_: object) -> None:
            cursor = connection.cursor()
            pages = limit[0] or cursor.execute("PRAGMA page_count").fetchone()[0] + 20
            cursor.execute(f"PRAGMA max_page_count={pages}")
            cursor.close()

        recorder = history.record(machine)
        for _ in range(5000):
            machine.toggle("A")
        error = await troubles.any()
        assert "database or disk is full (make room; until then rows wait in memory)" in str(error)
        machine.toggle("A")
        assert history.statistics().waiting > 0
        assert (await history.network()) is not None
        limit[0] = 1 << 30
        await check_stored(history, recorder)
        assert history.statistics().committed == 5002


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """Return a folder on a disk of 2 MB; None where only root could have it, or not even root may."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.getuid() == 0
        and shutil.which("mount") is not None
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    )
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk(small_disk: Path | None, wall: Wall, troubles: Troubles) -> None:
    if small_disk is None:  # the limit above stands for it
        return
    machine, filler = build(), small_disk / "filler"
    async with open_history(f"sqlite:///{small_disk}/h.db", now=wall, on_error=troubles, batch=500, **QUICK) as history:
        recorder = history.record(machine)
        machine.add("B")
        await history.sync()
        fill_up(filler)
        for _ in range(2000):
            machine.toggle("A")
        assert "full" in str(await troubles.any())
        for _ in range(100):
            machine.toggle("A")
        s = history.statistics()
        assert s.waiting > 0
        assert s.failing is not None
        filler.unlink()
        await check_stored(history, recorder)
    with closing(sqlite3.connect(small_disk / "h.db")) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def fill_up(filler: Path) -> None:
    """Take all the room there is."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder that everybody may reach, and that may be closed to us: root passes for nobody meanwhile."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o777)
        yield Path(name)


@asynccontextmanager
async def without_rights(*paths: Path) -> AsyncIterator[Callable[[], None]]:
    """Take away the right to write to some paths; yield what gives it back."""
    modes = {path: path.stat().st_mode for path in paths}
    me = os.geteuid()

    def give_back() -> None:
        if me == 0:
            os.seteuid(me)
        for path, mode in modes.items():
            path.chmod(mode)

    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield give_back
    finally:
        give_back()


async def test_a_folder_that_may_not_be_written_to(folder: Path, wall: Wall) -> None:
    async with without_rights(folder):
        with pytest.raises(StorageError, match=r"the folder does not exist, or may not be written to"):
            async with open_history(f"sqlite:///{folder}/h.db", now=wall):
                pass
        with pytest.raises(StorageError, match="cannot open"):
            async with open_history(f"sqlite:///{folder}/a/h.db", now=wall):
                pass


async def test_a_file_that_may_not_be_written_to(folder: Path, wall: Wall, troubles: Troubles) -> None:
    path = folder / "h.db"
    machine = build()
    async with open_history(f"sqlite:///{path}", now=wall) as history:
        history.record(machine)
        machine.add("A")
    again = build()
    async with (
        without_rights(path) as give_back,
        open_history(f"sqlite:///{path}", now=wall, on_error=troubles, **QUICK) as history,
    ):
        # the past can be asked about
        assert (await history.as_of("m")).active == ("A",)
        recorder = history.record(again)
        again.add("B")
        error = await troubles.any()
        assert "the file is read-only: change its permissions, or name another one" in str(error)
        check_account(history, recorder)
        assert history.statistics().waiting == 2
        give_back()
        await history.sync()
        assert (await history.as_of("m")).active == ("B",)


# -- PostgreSQL


def terminate(server: Server, place: Place) -> int:
    """End all connections to a place; return how many there were."""
    with server.connect() as connection:
        found = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (place.tag,)
        )
        return len(found.fetchall())


async def test_connections_that_are_lost_again_and_again(
    postgresql: Place, server: Server, kept: Kept, troubles: Troubles
) -> None:
    machine = build()
    lost = 0
    async with kept(postgresql, on_error=troubles, batch=50, **QUICK) as history:
        recorder = history.record(machine)
        for _ in range(15):
            for _ in range(100):
                machine.toggle("A")
            lost += await trio.to_thread.run_sync(terminate, server, postgresql)
            assert (await history.machines()) is not None
        await check_stored(history, recorder)
    assert lost > 5
    assert all(isinstance(e, StorageError) for e in troubles)


async def test_a_follower_gets_over_a_lost_connection(postgresql: Place, server: Server, kept: Kept) -> None:
    machine = build()
    async with kept(postgresql, **QUICK) as history:
        history.record(machine)
        await history.sync()
        got = []
        async for record in history.changes(since=0):
            got.append(record.seq)
            await trio.to_thread.run_sync(terminate, server, postgresql)
            if len(got) == 6:
                history.writer.stop()
            else:
                machine.toggle("A")
                await history.sync()
        assert got == [1, 2, 3, 4, 5, 6]


async def test_a_server_that_restarts(postgresql: Place, server: Server, kept: Kept, troubles: Troubles) -> None:
    machine = build()
    async with kept(postgresql, on_error=troubles, **QUICK) as history:
        recorder = history.record(machine)
        machine.add("A")
        await history.sync()
        await trio.to_thread.run_sync(server.stop)
        try:
            for _ in range(200):
                machine.toggle("B")
            error = await troubles.any()
            assert "postgresql+psycopg://" in str(error)
            assert history.statistics().waiting == 200
            with pytest.raises(StorageError, match="cannot read"):
                await history.as_of("m")
        finally:
            await trio.to_thread.run_sync(server.start)
        await check_stored(history, recorder)
