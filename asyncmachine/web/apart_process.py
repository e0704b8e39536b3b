"""The process that serves a page for another one, see `apart`: started by it, and by nobody else."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from dataclasses import replace
from typing import Any, Final

import trio

from asyncmachine.web.apart import ASK, SIZE, Job, Told
from asyncmachine.web.app import Page
from asyncmachine.web.live import FRESH, Live
from asyncmachine.web.server import serve_page
from asyncmachine.web.source import Source
from history import open_store

READ: Final = 1 << 16
WAIT: Final = 0.3  # s that a question waits for what the peer has to tell


class Mirror:
    """What the peer has told last; it is asked again when somebody wants to know, and that is a second old.

    Args:
        told: the first it has told.
    """

    def __init__(self, told: Told) -> None:
        self.wanted, self._came = trio.Event(), trio.Event()
        self._told = told
        self._at = trio.current_time()

    def take(self, told: Told) -> None:
        """Know this from now on."""
        self._told, self._at = told, trio.current_time()
        self._came.set()
        self.wanted, self._came = trio.Event(), trio.Event()

    def now(self) -> int:
        """Return the present, as the peer has told it; ns."""
        return self._told.now

    def names(self) -> Any:
        """Return what to call owners."""
        return self._told.names

    async def refresh(self) -> None:
        """Ask the peer, if what it has told is old, and wait a little; a busy one answers later."""
        if trio.current_time() - self._at > FRESH:
            self.wanted.set()
            with trio.move_on_after(WAIT):
                await self._came.wait()

    def look(self) -> Live:
        """Return how things are for the peer, as it has told."""
        live, age = self._told.live, trio.current_time() - self._at
        return replace(live, age=live.age + round(age * 1e6))

    def look_at(self, machine: str, owner: str | None) -> Live:
        """Return the same: a peer that is busy is not asked about each machine."""
        return self.look()


class Pipe:
    """Whole messages from a pipe.

    Args:
        stream: to be read.
    """

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def next(self) -> Any:
        """Return the next message; None: there will be none."""
        head = await self._take(SIZE)
        body = None if head is None else await self._take(int.from_bytes(head, "little"))
        return None if body is None else pickle.loads(body)  # it is from who has started this process

    async def _take(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            data = await self._stream.receive_some(READ)
            if not data:
                return None
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


async def _run() -> None:
    told, asking = Pipe(trio.lowlevel.FdStream(os.dup(0))), trio.lowlevel.FdStream(os.dup(1))
    os.dup2(2, 1)  # whoever prints something must not ask with it
    job, first = await told.next(), await told.next()
    if first is None:
        return
    assert isinstance(job, Job)
    mirror = Mirror(first)
    store = open_store(job.url, read_only=True)
    store.open()
    store.generation = -1  # another process writes
    try:
        source = Source(store, mode="peer", title=job.title, now=mirror.now, names=mirror.names)
        async with serve_page(socket.socket(fileno=job.fd), Page(source, token=job.token, live=mirror)):
            await _follow(told, asking, mirror)
    finally:
        store.close()


async def _follow(told: Pipe, asking: trio.abc.SendStream, mirror: Mirror) -> None:
    """Take what the peer tells when it is asked, until it is gone."""
    give, got = trio.open_memory_channel[None](0)

    async def ask() -> None:
        while True:
            await mirror.wanted.wait()
            await asking.send_all(ASK)
            await got.receive()  # one question at a time

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while (message := await told.next()) is not None:
                mirror.take(message)
                await give.send(None)
            nursery.cancel_scope.cancel()
    except* trio.BrokenResourceError:
        pass  # who has started it is gone


def main() -> None:
    """Serve until the one that has started it closes the pipe. A Ctrl-C is meant for that one."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    trio.run(_run)


if __name__ == "__main__":
    main()
