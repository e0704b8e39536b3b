"""An airport's process: its peer, its own history, and its replay.

The supervisor says what it is to be (`Job`) when it starts the process, and talks with it over a socket, a JSON object
a line. That is for starting and stopping; what happens at an airport, the observer hears from the network.

    supervisor   {"go": 12.5}     begin; the reading of the monotonic clock at which the replayed time began
                 {"stop": true}   carry out nothing more, but serve what there is
                 {"leave": true}  say goodbye, and end
    airport      {"ready": true}  it runs, and waits for a go
                 {"believed": "updates of … by …", "rows": […]}   so it saw machines of another airport
                 {"stopped": 17}  so many steps are done, and all that happened is in its history
                 {"left": {…}}    it is about to end; what it took
                 {"error": "…"}   it is about to end, as something is wrong

If the socket ends, so does the process, and it takes the folder with it: nothing is left behind when the supervisor is
killed.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import sys
import traceback
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What is used only later is loaded now, too: this module is loaded once, and each airport's process is a copy of that.
import alembic.command  # noqa: F401
import trio

import asyncmachine as am
import history.sql  # noqa: F401
import pubsub.transport.libp2p  # noqa: F401
from asyncmachine.flights.belief import Believing, HearsayClock, Kept, open_believing, told_steps
from asyncmachine.flights.data import Leg
from asyncmachine.flights.pace import Pace, finished
from asyncmachine.flights.replay import AirportReplay, Plan, ReplayClock
from graph.telling import Telling, open_teller
from history.log import LogRow

PAUSE = 0.5  # s between two tells of the pipes: an hour of the replay passes meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a process is to be.

    Attributes:
        code: of the airport.
        legs: its flights.
        plan: the steps of all.
        speed: replayed seconds a second; None: as fast as can be.
        folder: where its key, its history and its log are.
        topic, topic_key, connect, listen: see `open_peer`.
        others: peer ids of the other airports.
        observer: peer id of the observer.
        ahead, ahead_of_observer: see `Pace`.
        kept: of which machines of others it keeps what it believes.
        again: whether it goes on where an earlier life came to.
    """

    code: str
    legs: tuple[Leg, ...]
    plan: Plan
    speed: float | None
    folder: Path
    topic: str
    topic_key: bytes
    connect: tuple[str, ...]
    listen: tuple[str, ...]
    others: tuple[str, ...]
    observer: str
    ahead: int | None
    ahead_of_observer: int
    kept: Kept = "off"
    again: bool = False

    @property
    def key_file(self) -> Path:
        """Where the key is."""
        return self.folder / f"{self.code}.key"

    @property
    def log_file(self) -> Path:
        """Where the process writes what it would write on a terminal."""
        return self.folder / f"{self.code}.log"


def serve(job: Job, control: socket.socket) -> None:
    """Be an airport until the end. This is the first function of its process."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends them to all; the supervisor says what is to be done
    log = os.open(job.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    try:
        if not trio.run(_main, job, control):
            shutil.rmtree(job.folder, ignore_errors=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        traceback.print_exc()
        with suppress(OSError):
            control.setblocking(True)
            control.sendall(_line({"error": describe(error)}))
        sys.exit(1)


def describe(error: BaseException) -> str:
    """Return what is wrong in one line; of a group, the first of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    is_ours = isinstance(error, am.AsyncMachineError | am.HistoryError | OSError)
    return text if is_ours and text else f"{type(error).__name__}: {text}".rstrip(": ")


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


async def messages(stream: trio.abc.ReceiveStream) -> AsyncIterator[dict[str, Any]]:
    """Yield what the other end says, until it is gone."""
    waiting = b""
    while True:
        try:
            data = await stream.receive_some()
        except trio.BrokenResourceError:
            return
        if not data:
            return
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            yield json.loads(line)


def read_rows(message: Mapping[str, Any]) -> list[LogRow]:
    """Return the rows of what was believed."""
    return [(life, id, b64decode(row)) for life, id, row in message["rows"]]


async def say(stream: trio.abc.SendStream, message: Mapping[str, Any]) -> None:
    """Tell the other end, if it is there."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(_line(message))


class _Orders:
    """What the supervisor has said."""

    def __init__(self) -> None:
        self.began = 0.0
        self.go = trio.Event()
        self.leave = trio.Event()
        self.flying = trio.CancelScope()

    async def hear(self, stream: trio.abc.ReceiveStream, everything: trio.CancelScope) -> None:
        """Note it."""
        async for message in messages(stream):
            if "go" in message:
                self.began = message["go"]
                self.go.set()
            elif "stop" in message:
                self.flying.cancel()
                self.go.set()
            elif "leave" in message:
                self.leave.set()
        everything.cancel()


class _Now:
    """The time that is replayed, once that has begun."""

    def __init__(self, start: int) -> None:
        self.clock: ReplayClock | None = None
        self._start = start

    def __call__(self) -> int:
        """Return it, ns since 1970."""
        return self._start if self.clock is None else self.clock()


class _Voice:
    """Says things to the supervisor, one after the other, whoever says them."""

    def __init__(self, stream: trio.abc.SendStream) -> None:
        self._stream = stream
        self._lock = trio.Lock()

    async def say(self, message: Mapping[str, Any]) -> None:
        """Say it, if somebody is there."""
        async with self._lock:
            await say(self._stream, message)

    async def tell(self, owner: str, rows: Sequence[LogRow]) -> None:
        """Say what was believed."""
        await self.say({"believed": owner, "rows": [(life, id, b64encode(row).decode()) for life, id, row in rows]})


class _Shared:
    """A stage: machines on it are recorded, and exposed.

    Args:
        known: machines that were recorded in an earlier life.
    """

    def __init__(self, store: am.History, peer: am.Peer, telling: Telling, known: frozenset[str]) -> None:
        self._store = store
        self._telling = telling
        self._peer = peer
        self._known = known
        self._recorders: dict[am.Machine, am.Recorder] = {}

    async def enter(self, machine: am.Machine) -> None:
        """Record and expose it."""
        self._take(machine, self._store.record(machine))
        await trio.lowlevel.checkpoint()

    async def come_back(self, machine: am.Machine) -> bool:
        """Bring it back as it was recorded last, if it was."""
        if machine.id not in self._known:
            return False
        await self._store.restore(machine)
        self._take(machine, None)
        return True

    def _take(self, machine: am.Machine, recorder: am.Recorder | None) -> None:
        if recorder is not None:
            self._recorders[machine] = recorder
        self._peer.expose(machine)
        self._telling.follow(machine)

    def leave(self, machine: am.Machine) -> None:
        """Take it back, and stop recording; a recorder that was not made here ends with the machine."""
        self._peer.unexpose(machine)
        recorder = self._recorders.pop(machine, None)
        if recorder is not None:
            recorder.stop()


async def _main(job: Job, control: socket.socket) -> bool:
    """Return whether it came to a good end: the supervisor was there until then."""
    control.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(control))
    orders, is_good = _Orders(), False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.hear, stream, nursery.cancel_scope)
        await _live(job, stream, orders)
        is_good = True
        nursery.cancel_scope.cancel()
    return is_good


async def _live(job: Job, stream: trio.SocketStream, orders: _Orders) -> None:
    now, voice = _Now(job.plan.start), _Voice(stream)
    url = f"sqlite:///{job.folder / job.code}.db"
    async with (
        am.open_history(url, now=now) as store,
        am.open_peer(
            job.topic,
            key_file=job.key_file,
            listen=job.listen,
            connect=job.connect,
            allow=(*job.others, job.observer),
            topic_key=job.topic_key,
            log=am.HistoryLog(store),
        ) as peer,
        open_teller(peer, pause=PAUSE) as telling,
        AsyncExitStack() as stack,
    ):
        known = frozenset(machine.name for machine in await store.machines()) if job.again else frozenset[str]()
        await voice.say({"ready": True})
        await orders.go.wait()
        now.clock = ReplayClock(job.plan.start, job.speed, orders.began)
        believing = await stack.enter_async_context(_believe(job, peer, orders.began, voice))
        replay = AirportReplay(job.code, job.legs, job.plan, now.clock, _Shared(store, peer, telling, known))
        with orders.flying as flying:
            await _fly(job, replay, peer, store)
        await store.sync()
        await _finish(believing)  # most of it now: who leaves has little time
        if flying.cancelled_caught:
            await voice.say({"stopped": replay.done})
            await orders.leave.wait()
        else:
            await _either(orders.leave, peer, job.observer)
        await _finish(believing)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        spent = {
            "cpu": usage.ru_utime + usage.ru_stime,
            "memory": peak_memory(),
            "transitions": store.statistics().committed,
        }
        await voice.say({"left": spent})
        await peer.leave()


@asynccontextmanager
async def _believe(job: Job, peer: am.Peer, began: float, voice: _Voice) -> AsyncIterator[Believing | None]:
    """Keep what it believes of the others, if that is wanted."""
    if job.kept == "off":
        yield None
        return
    clock = HearsayClock(job.plan, job.speed, began, lambda: told_steps(peer))
    url = f"sqlite:///{job.folder / job.code}-believed.db"
    async with open_believing(url, peer, job.others, clock, job.kept, voice.tell) as believing:
        yield believing


async def _finish(believing: Believing | None) -> None:
    """Tell all that was believed."""
    if believing is not None:
        await believing.finish()


async def _fly(job: Job, replay: AirportReplay, peer: am.Peer, store: am.History) -> None:
    pace = Pace(peer, job.others, job.observer, ahead=job.ahead, ahead_of_observer=job.ahead_of_observer)
    await replay.open(again=job.again)
    while replay.done < job.plan.steps:
        await pace.before(replay.done + 1)
        await replay.run_step()
        await store.room()


async def _either(told: trio.Event, peer: am.Peer, observer: str) -> None:
    """Wait until it is told to leave, or the observer has heard of everything."""
    async with trio.open_nursery() as nursery:

        async def wait_for_the_observer() -> None:
            await finished(peer, observer)
            nursery.cancel_scope.cancel()

        nursery.start_soon(wait_for_the_observer)
        await told.wait()
        nursery.cancel_scope.cancel()


def peak_memory() -> int:
    """Return the most that this process had in memory at a time, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
