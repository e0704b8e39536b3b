"""The processes of the airports: they are started, watched, started again if they were killed, and ended.

Each is a fork of one process that has loaded everything once (`multiprocessing`'s fork server, see `warm`), so that
three airports do not load libp2p and a database three times on two cores. What they are to be goes through a pipe:
there is nothing secret in a command line.
"""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from typing import Any

import trio

import asyncmachine as am
from asyncmachine.flights.process import Job, messages, read_rows, say, serve
from history.log import LogRow

PAUSE = 0.5  # s before a process is started again
TRIES = 5  # lives that an airport may lose in a row without having come on
PATIENCE = 5.0  # s that a process has to end when it is told to, and then once more when it is asked to by a signal


class FleetError(am.AsyncMachineError):
    """An airport's process has ended and cannot be brought back. The message says which, and why."""


@dataclass(slots=True, eq=False)
class Airport:
    """One airport's process, in all its lives.

    Attributes:
        status: ``starting``, ``ready``, ``running``, ``killed``, ``stopped`` or ``left``.
        lives: how often it was started.
        pid: of the process of now.
        spent: what it took, once it has left: ``cpu`` in s, ``memory`` in bytes, ``transitions``.
    """

    job: Job
    status: str = "starting"
    lives: int = 0
    pid: int = 0
    spent: dict[str, float] = field(default_factory=dict)
    error: str = ""
    process: ForkServerProcess | None = None
    stream: trio.SocketStream | None = None
    ready: trio.Event = field(default_factory=trio.Event)
    stopped: trio.Event = field(default_factory=trio.Event)
    gone: trio.Event = field(default_factory=trio.Event)


class Fleet:
    """All of them.

    Args:
        jobs: one for each airport.
        progress: tells how many steps of an airport are known to be done, by its code.
        believed: takes what an airport believed, rows of an owner ``updates of … by …``. None: nobody wants it.

    Attributes:
        airports: by code.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        progress: Callable[[str], int],
        believed: Callable[[str, Sequence[LogRow]], Awaitable[object]] | None = None,
    ) -> None:
        self.airports = {job.code: Airport(job) for job in jobs}
        self._progress = progress
        self._believed = believed
        self._context = multiprocessing.get_context("forkserver")
        self._began: float | None = None
        self._ending = False

    async def run(self) -> None:
        """Keep them until all are gone.

        Raises:
            FleetError: one ended that should not have, and cannot be started again. Alone, or in a group.
        """
        async with trio.open_nursery() as nursery:
            for airport in self.airports.values():
                nursery.start_soon(self._keep, airport)

    async def ready(self) -> None:
        """Wait until all run."""
        for airport in self.airports.values():
            await airport.ready.wait()

    async def go(self) -> None:
        """Let all begin, with one clock."""
        self._began = time.monotonic()
        for airport in self.airports.values():
            await self._tell(airport, {"go": self._began})
            airport.status = "running"

    async def stop(self) -> bool:
        """Let nothing more happen, but what has happened be asked for. Return whether all did in time."""
        self._ending = True
        with trio.move_on_after(PATIENCE) as deadline:
            for airport in self.airports.values():
                await self._tell(airport, {"stop": True})
            for airport in self.airports.values():
                await airport.stopped.wait()
        return not deadline.cancelled_caught

    async def leave(self, patience: float = PATIENCE) -> None:
        """End them: by a word, by a signal, by another one. For all that happens, none is left afterwards."""
        self._ending = True
        with trio.CancelScope(shield=True):
            with trio.move_on_after(patience):
                for airport in self.airports.values():
                    await self._tell(airport, {"leave": True})
                await self._gone()
            for send in (ForkServerProcess.terminate, ForkServerProcess.kill):
                running = [airport.process for airport in self.airports.values() if _is_alive(airport.process)]
                for process in running:
                    assert process is not None
                    send(process)
                with trio.move_on_after(PATIENCE if running else 0):
                    while any(map(_is_alive, running)):  # noqa: ASYNC110 - of a process that may be nobody's any more
                        await trio.sleep(0.02)

    async def _gone(self) -> None:
        while any(_is_alive(airport.process) for airport in self.airports.values()):  # noqa: ASYNC110
            await trio.sleep(0.02)

    async def _tell(self, airport: Airport, message: dict[str, Any]) -> None:
        if airport.stream is not None:
            await say(airport.stream, message)

    # -- one of them

    async def _keep(self, airport: Airport) -> None:
        tries, came_to = 0, -1
        while True:
            await self._start(airport)
            await self._hear(airport)
            code = await self._ended(airport)
            if self._ending or airport.status == "left":
                airport.gone.set()
                return
            name = airport.job.code
            if code >= 0:
                raise FleetError(f"{name} has ended: {airport.error or f'its process left with {code}'}")
            airport.status = "killed"
            done = self._progress(name)
            tries, came_to = (tries + 1, came_to) if done <= came_to else (1, done)
            if tries >= TRIES:
                raise FleetError(
                    f"{name} was killed {tries} times without coming on (signal {-code}): is memory short?"
                )
            await trio.sleep(PAUSE)

    async def _start(self, airport: Airport) -> None:
        airport.lives += 1
        airport.error = ""
        ours, theirs = socket.socketpair()
        again = airport.lives > 1
        process = self._context.Process(
            target=serve, args=(replace(airport.job, again=again), theirs), name=airport.job.code, daemon=True
        )
        try:
            await trio.to_thread.run_sync(process.start)
        finally:
            theirs.close()
        airport.process = process
        airport.pid = process.pid or 0
        airport.stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))

    async def _hear(self, airport: Airport) -> None:
        """Note what it says, until it is gone."""
        assert airport.stream is not None
        async for message in messages(airport.stream):
            if "ready" in message:
                airport.status = "ready"
                airport.ready.set()
                if self._ending:
                    await self._tell(airport, {"stop": True})
                elif self._began is not None:
                    await self._tell(airport, {"go": self._began})
                    airport.status = "running"
            elif "believed" in message:
                if self._believed is not None:
                    await self._believed(message["believed"], read_rows(message))
            elif "stopped" in message:
                airport.status = "stopped"
                airport.stopped.set()
            elif "left" in message:
                airport.status = "left"
                airport.spent = message["left"]
                airport.stopped.set()
            elif "error" in message:
                airport.error = message["error"]
        await airport.stream.aclose()
        airport.stream = None

    async def _ended(self, airport: Airport) -> int:
        """Return how its process left: a status, or a signal with a minus before it."""
        process = airport.process
        assert process is not None
        with trio.move_on_after(PATIENCE):
            await trio.lowlevel.wait_readable(process.sentinel)
        if process.exitcode is None:  # it has hung up, and does not end
            process.kill()
        with suppress(OSError):
            await trio.lowlevel.wait_readable(process.sentinel)
        process.join()
        return process.exitcode or 0


def _is_alive(process: ForkServerProcess | None) -> bool:
    return process is not None and process.is_alive()
