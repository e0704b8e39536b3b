"""The page in a process of its own, for a program that is too busy to answer in time.

Under CPython all threads of a process share one processor, and a request waits for its turn in the event loop. Where
that is full, as of an observer that takes what it hears as fast as it can, an answer that costs 0.1 s comes after ten.
In a process of its own the page reads the history as any other reader does. Only what the running peer alone knows
comes from there, by pipe, when somebody asks: how late the peer is with that delays nobody, it only makes that older.

The process ends with the one that has started it, whichever way that ends: its input is closed then.
"""

from __future__ import annotations

import logging
import pickle
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from subprocess import PIPE
from typing import Final

import trio

from asyncmachine.serving import url_of
from asyncmachine.web.live import Live
from history.sql import SqlStore
from history.store import Store
from machine.beside import beside

ASK: Final = b"?"  # all that the process ever says
SIZE: Final = 8  # bytes that say how long a message is
PATIENCE: Final = 2.0  # s in which it should have ended

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is to serve. ``fd``: a socket that listens."""

    url: str
    title: str
    token: str | None
    fd: int = -1


@dataclass(frozen=True, slots=True)
class Told:
    """What only the running peer knows.

    Attributes:
        now: the present, ns.
        names: what to call owners.
        live: see `Live`.
    """

    now: int
    names: Mapping[str, str] = field(default_factory=dict)
    live: Live = field(default_factory=lambda: Live(""))


def reachable(store: Store) -> str | None:
    """Return the URL by which another process can read a history; None: it is in the memory of this one."""
    if not isinstance(store, SqlStore) or (store.dialect == "sqlite" and store.path is None):
        return None
    return store.engine.url.render_as_string(hide_password=False)


def frame(message: object) -> bytes:
    """Return a message for the process. It believes what comes from who has started it, so a pickle will do."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(SIZE, "little") + body


@asynccontextmanager
async def serve_apart(bound: socket.socket, job: Job, look: Callable[[], Told]) -> AsyncIterator[str]:
    """Serve the page of a history from another process for as long as the block lasts; yield the URL.

    Who asks before the process is there, waits. Should it end by itself, that is logged, and the block goes on.

    Args:
        bound: a socket that listens; it is closed here.
        job: what to serve.
        look: tells how things are; is called in this thread, about once a second while somebody looks at the page.
    """
    with bound:
        url, fd = url_of(bound), bound.fileno()
        command = [sys.executable, "-P", "-m", "asyncmachine.web.apart_process"]
        process = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=PIPE, pass_fds=[fd])
    async with beside() as nursery:
        nursery.start_soon(_tell, process, Job(job.url, job.title, job.token, fd), look)
        try:
            yield url
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await _end(process)


async def _tell(process: trio.Process, job: Job, look: Callable[[], Told]) -> None:
    """Say what is to be served, and then, whenever it asks, how things are."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdin.send_all(frame(job) + frame(look()))
        async for _ in process.stdout:
            await process.stdin.send_all(frame(look()))
    except trio.BrokenResourceError:
        pass  # it does not listen any more
    status = await process.wait()
    _log.warning("the process of the page has ended with status %d: there is no page any more", status)


async def _end(process: trio.Process) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.aclose()
    await process.stdout.aclose()
    with trio.move_on_after(PATIENCE):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
