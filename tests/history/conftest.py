"""What the tests of `history` share: the four places a history can live in, and a wall clock under control.

    place          parametrised: memory:, SQLite in memory, SQLite in a file, PostgreSQL; empty at each test
    lasting        the last two, whose histories outlive a process
    fresh(kind)    one more empty place, for tests that want several
    wall           the wall clock of a test; it stands still until ``wall.step(seconds)``
    kept(place)    an open history in a place, under that clock

PostgreSQL is started once, from what Debian's package holds, on a unix socket in a temporary folder. Where that is not
possible its tests are skipped, and the end of the run says so; with CI set they fail instead. AM_POSTGRES=optional
takes that back, for machines that are meant to have none.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from history import History, open_history

SECOND = 1_000_000_000
#: 2013-02-07T00:00Z, the first day of the flights of the data set.
BEGINNING = 1_360_195_200 * SECOND
KINDS = ("memory", "sqlite-memory", "sqlite-file", "postgresql")
BINARIES = Path("/usr/lib/postgresql")
PACKAGES = "apt-get update && apt-get install -y postgresql"
MISSING = pytest.StashKey[str]()


@dataclass(frozen=True)
class Place:
    """Where a history lives. ``lasts``: what it holds is still there when it is opened again. ``tag`` is unique."""

    kind: str
    url: str
    lasts: bool
    tag: str

    def __str__(self) -> str:
        return self.kind


class Wall:
    """A wall clock in ns since 1970 that moves when it is told to."""

    def __init__(self, at: int = BEGINNING) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at

    def step(self, seconds: float = 1) -> int:
        """Move on (or back), and return the time."""
        self.at += round(seconds * SECOND)
        return self.at


#: Ends the server and clears up when this process is gone, whatever ended it: then nobody holds the pipe any more.
WATCH = 'read -r _; "$0/pg_ctl" -D "$1/data" -m immediate -w stop; rm -rf "$1"'


class Server:
    """A PostgreSQL server of our own, in a temporary folder, on a socket in it."""

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="am-pg-", dir="/tmp"))  # a socket's path is short
        self.data = self.folder / "data"
        self._as: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C"}}
        owner = pwd.getpwuid(os.getuid())
        if os.getuid() == 0:  # which the server refuses to be
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self.owner = owner.pw_name
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", WATCH, binaries, self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of the keyboard
            **self._as,
        )
        try:
            self._run("initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D", str(self.data))
            self.start()
        except BaseException:
            self.end()
            raise

    def _run(self, command: str, *arguments: str) -> None:
        # A file, no pipe: the server would keep the other end of a pipe open.
        with (self.folder / "log").open("ab") as log:
            done = subprocess.run(
                [self.binaries / command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as,
            )
        if done.returncode:
            raise OSError(f"{command} failed: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        settings = f"-k {self.folder} -c listen_addresses= -c fsync=off -c full_page_writes=off -c shared_buffers=32MB"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-o", settings, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; ``immediate`` is as good as a crash."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def end(self) -> None:
        """Stop it for good, and remove its folder."""
        self._watch.communicate()

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a connection that commits each statement."""
        return psycopg.connect(host=str(self.folder), user=self.owner, dbname="postgres", autocommit=True)

    def url(self, tag: str) -> str:
        """Return the URL of a new schema."""
        with self.connect() as connection:
            connection.execute(f'CREATE SCHEMA "{tag}"'.encode())
        options = quote(f"-csearch_path={tag}", safe="")
        return (
            f"postgresql+psycopg://{self.owner}@/postgres"
            f"?host={quote(str(self.folder), safe='')}&options={options}&application_name={tag}"
        )


def _start_server() -> Server:
    versions = [p for p in BINARIES.glob("*/bin") if (p / "initdb").exists()]
    if not versions:
        raise OSError(f"there is none under {BINARIES} ({PACKAGES})")
    return Server(max(versions, key=lambda p: int(p.parent.name) if p.parent.name.isdigit() else 0))


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """Return the PostgreSQL server of this run."""
    try:
        server = _start_server()
    except (OSError, KeyError, subprocess.SubprocessError) as exc:
        pytestconfig.stash[MISSING] = reason = f"no PostgreSQL could be started: {exc}"
        if os.environ.get("CI") and os.environ.get("AM_POSTGRES") != "optional":
            pytest.fail(f"{reason}; AM_POSTGRES=optional does without")
        pytest.skip(reason)
    try:
        yield server
    finally:
        server.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say loudly what was not tested."""
    if (reason := config.stash.get(MISSING, None)) is not None:
        terminalreporter.section("history was NOT tested on PostgreSQL", sep="!", red=True, bold=True)
        terminalreporter.line(reason, red=True)


Fresh = Callable[[str], Place]
Kept = Callable[..., AbstractAsyncContextManager[History]]
_tags = count(1)


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Fresh:
    """Return a factory of empty places, by kind."""

    def make(kind: str) -> Place:
        tag = f"am{os.getpid()}_{next(_tags)}"
        if kind == "memory":
            return Place(kind, "memory:", False, tag)
        if kind == "sqlite-memory":
            return Place(kind, "sqlite://", False, tag)
        if kind == "sqlite-file":
            return Place(kind, f"sqlite:///{tmp_path / tag}.db", True, tag)
        server: Server = request.getfixturevalue("server")
        return Place(kind, server.url(tag), True, tag)

    return make


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, fresh: Fresh) -> Place:
    """Return an empty place of each kind."""
    return fresh(request.param)


@pytest.fixture(params=[k for k in KINDS if "memory" not in k])
def lasting(request: pytest.FixtureRequest, fresh: Fresh) -> Place:
    """Return an empty place of each kind that outlives a process."""
    return fresh(request.param)


@pytest.fixture
def sqlite_file(fresh: Fresh) -> Place:
    """Return an empty SQLite file."""
    return fresh("sqlite-file")


@pytest.fixture
def postgresql(fresh: Fresh) -> Place:
    """Return an empty schema on the PostgreSQL server."""
    return fresh("postgresql")


@pytest.fixture
def wall() -> Wall:
    """Return the wall clock of this test."""
    return Wall()


@pytest.fixture
def kept(wall: Wall) -> Kept:
    """Return a function that opens the history in a place under this test's clock."""

    def opened(place: Place, **options: Any) -> AbstractAsyncContextManager[History]:
        return open_history(place.url, **{"now": wall, **options})

    return opened
