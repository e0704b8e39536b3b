"""HTTP inside a program of ours: hypercorn under trio, in the nursery of whoever serves.

Bound before anything else begins, so that a port in use is known at once. It ends within `CLOSING`, whoever reads.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from asyncmachine.errors import ServeError

CLOSING: Final = 0.5  # s that answers which are under way may take at the end


def bind(host: str, port: int, what: str = "metrics") -> socket.socket:
    """Return a socket that is bound there; ``what`` is served on it, for the message.

    Raises:
        ServeError: it cannot be.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServeError(f"cannot serve {what} on {where}: {error.strerror}") from error
    except UnicodeError as error:  # a label of a host name that is empty, or longer than 63
        raise ServeError(f"cannot serve {what} on {where}: this is no name of a host") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        bound.close()
        raise ServeError(f"cannot serve {what} on {where}: {error.strerror}. Give another port, or 0") from error
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the URL of what is served on a socket, without a path."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def serving(bound: socket.socket, app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application for as long as the block lasts, on a socket that is then closed; yield the URL."""
    url = url_of(bound)
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None
    config.include_server_header = False
    config.graceful_timeout = CLOSING
    asked, over = trio.Event(), trio.Event()

    async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
        try:
            await serve(app, config, shutdown_trigger=asked.wait, mode="asgi", task_status=task_status)
        finally:
            over.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        try:
            yield url
        finally:
            asked.set()
            with trio.CancelScope(shield=True), trio.move_on_after(2 * CLOSING):
                await over.wait()
            nursery.cancel_scope.cancel()
