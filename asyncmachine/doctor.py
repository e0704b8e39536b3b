"""What a peer needs, looked at one by one: `am doctor`.

A check returns what it found, and raises nothing that it is there to find. ``fail``: a peer would not run, or not well;
``warn``: it runs, and somebody should look at it. Nothing is made or changed: no key, no database, no migration.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import trio

from asyncmachine.config import Settings
from history import HistoryError, default_url, open_store
from machine import Machine, Schema, State
from machine.errors import AsyncMachineError

PYTHON: Final = (3, 11)  # requires-python
PATIENCE: Final = 15.0  # s that two peers on loopback may take to meet
YEARS: Final = (2026, 2100)  # of a clock that may be right: from this program's birth on
MAX_STEP: Final = 0.5  # s by which the wall clock may differ from the monotonic one while this runs

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        status: ok, warn or fail.
        told: what was found.
        todo: what to do about it; empty if there is nothing.
    """

    check: str
    status: Status
    told: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks at one moment, s."""

    wall: float
    monotonic: float

    @classmethod
    def read(cls) -> Clocks:
        """Return what they say now."""
        return cls(time.time(), time.monotonic())


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield what each check finds, as it finds it."""
    began = Clocks.read()
    yield check_python(sys.version_info[:2])
    yield check_libp2p()
    yield check_peers()
    yield check_key(settings)
    yield from check_topic_key(settings)
    yield from check_ports(settings)
    yield check_database(settings)
    yield check_clock(began, Clocks.read())


def check_python(version: tuple[int, ...]) -> Finding:
    """Look at the version of Python."""
    told = f"{platform.python_implementation()} {platform.python_version()}"
    if version < PYTHON:
        return Finding("python", "fail", told, f"install Python {'.'.join(map(str, PYTHON))} or newer")
    return Finding("python", "ok", told)


def check_libp2p() -> Finding:
    """Import libp2p as a peer does; its version is pinned."""
    began = time.monotonic()
    try:
        from pubsub.transport.host import LIBP2P
    except ImportError as error:
        return Finding("libp2p", "fail", str(error), "make .venv/ready in a checkout installs what fits together")
    return Finding("libp2p", "ok", f"{LIBP2P}, imported in {time.monotonic() - began:.1f} s")


def check_peers() -> Finding:
    """Let two peers listen on loopback, connect, and share a machine."""
    try:
        told = trio.run(_meet)
    except (AsyncMachineError, BaseExceptionGroup, ImportError) as error:
        return Finding("peers", "fail", f"two peers on loopback: {_first(error)}", "look at the lines above, and at lo")
    if told is None:
        return Finding(
            "peers",
            "fail",
            f"two peers on loopback do not meet within {PATIENCE:g} s",
            "does a firewall keep local connections from each other?",
        )
    return Finding("peers", "ok", told)


async def _meet() -> str | None:
    from pubsub.opening import open_peer

    machine = Machine(Schema({"Well": State()}), id="patient")
    with trio.move_on_after(PATIENCE):
        async with open_peer("am doctor") as one:
            one.expose(machine)
            began = trio.current_time()
            async with open_peer("am doctor", listen=(), connect=one.addresses) as other:
                replica = await other.replica("patient")
                met = trio.current_time() - began
                machine.add("Well")
                began = trio.current_time()
                await replica.when("Well")
                took = trio.current_time() - began
                return f"two on loopback met in {met:.1f} s, a change took {1000 * took:.0f} ms"
    return None


def check_key(settings: Settings) -> Finding:
    """Look at the key file of a peer, and who uses it; without one, whether one could be made."""
    from pubsub.keys import read_identity
    from pubsub.names import peer_id_of

    name = settings.config.key
    if name is None:
        return Finding("key", "ok", "none is given, so a peer is somebody new each time: --key FILE looks at one")
    path = Path(name)
    if not path.exists():
        return _writable("key", path.parent, f"{path} is not there, and would be made")
    try:
        id = peer_id_of(read_identity(path).owner)
    except AsyncMachineError as error:
        return Finding("key", "fail", str(error), "" if "chmod" in str(error) else "give the key file of a peer")
    holder = holder_of(path)
    return Finding("key", "ok", f"{id}{f', in use by process {holder}' if holder else ''}")


def holder_of(path: Path) -> str:
    """Return the process that uses a key file; empty: none does."""
    from pubsub.errors import IdentityError
    from pubsub.keys import locked

    lock = path.with_name(path.name + ".lock")
    if not lock.exists():
        return ""
    with suppress(IdentityError), locked(path):
        return ""
    with suppress(OSError):
        return lock.read_text("ascii").strip() or "unknown"
    return "unknown"


def check_topic_key(settings: Settings) -> Iterator[Finding]:
    """Look at the secret of the topic, if there is one."""
    if settings.config.topic_key_file is None:
        return
    try:
        yield Finding("topic key", "ok", f"{len(settings.topic_key)} bytes")
    except AsyncMachineError as error:
        yield Finding("topic key", "fail", str(error))


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Try to listen where a peer would."""
    try:
        from pubsub.transport.addresses import parse_listen
        from pubsub.transport.host import check_free
    except ImportError:
        return  # said already
    config = settings.config
    for address in config.listen:
        try:
            place = parse_listen(address)
            trio.run(check_free, [place])
        except AsyncMachineError as error:
            holder = holder_of(Path(config.key)) if config.key else ""
            if holder:
                yield Finding("port", "ok", f"{address} is in use, as process {holder} uses the key of this peer")
            else:
                yield Finding("port", "fail", str(error), "" if "Give another" in str(error) else "give another one")
        else:
            yield Finding("port", "ok", f"{address} is free")


def check_database(settings: Settings) -> Finding:
    """Look at the history, without making or changing it."""
    given = settings.history_url or os.environ.get("AM_HISTORY")
    url = given or default_url()
    if "://" not in url and url != "memory:":
        url = f"sqlite:///{Path(url).expanduser()}"
    try:
        store = open_store(url)
        if not store.exists():
            place = getattr(store, "path", None)
            if place is None:
                return Finding("database", "ok", f"{store.url} holds nothing yet, and would be filled")
            return _writable("database", Path(place).parent, f"{store.url} is not there, and would be made")
        return _version_of(store)
    except (HistoryError, OSError) as error:
        return Finding("database", "fail", str(error), "" if given else "--history URL looks at another one")


def _version_of(store: object) -> Finding:
    from history.sql import SqlStore
    from history.tables import VERSION
    from history.versions import VERSIONS, version_of

    if not isinstance(store, SqlStore):
        return Finding("database", "ok", "in memory")
    try:
        with store.engine.connect() as connection:
            found = version_of(connection)
    finally:
        store.close()
    told = f"{store.url} opens, tables of version {found}"
    if found == VERSION:
        return Finding("database", "ok", told)
    if found in VERSIONS:
        return Finding("database", "ok", f"{told}; whoever opens it brings them to {VERSION}")
    return Finding(
        "database", "fail", f"{told}, this program knows up to {VERSION}", "update the program, or name another file"
    )


def check_clock(began: Clocks, ended: Clocks) -> Finding:
    """Look at the wall clock: whether it may be right, and did not jump while all this ran."""
    year = time.gmtime(ended.wall).tm_year
    told = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ended.wall))
    todo = "let it be set from the network (NTP): others judge this peer by its stamps"
    if not YEARS[0] <= year <= YEARS[1]:
        return Finding("clock", "fail", f"it is {told}, which cannot be", todo)
    elapsed = ended.monotonic - began.monotonic
    step = (ended.wall - began.wall) - elapsed
    if abs(step) > MAX_STEP:
        return Finding("clock", "warn", f"it is {told}, and jumped by {step:+.1f} s within {elapsed:.1f} s", todo)
    return Finding("clock", "ok", f"it is {told}, {1000 * abs(step):.0f} ms off the monotonic clock in {elapsed:.1f} s")


def _writable(check: str, folder: Path, told: str) -> Finding:
    """Look whether a file could be made in a folder, or in the first one above that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(check, "fail", f"{told}, but {folder} cannot be written: {error.strerror}", "give another place")
    return Finding(check, "ok", told)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
