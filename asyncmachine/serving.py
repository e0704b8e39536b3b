"""HTTP inside a program of ours: hypercorn's connections under trio, in the nursery of whoever serves.

Bound before anything else begins, so that a port in use is known at once. It ends within `CLOSING`, whoever reads.

Hypercorn's own server shields what it sends from cancellation: a client that does not read would hold up the end for as
long as it likes. So the listening is done here, and a connection gives up on who takes nothing for `PATIENCE`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from asyncmachine.errors import ServeError
from machine.beside import beside

CLOSING: Final = 0.5  # s that answers which are under way may take at the end
PATIENCE: Final = 30.0  # s that a client may take nothing of what is sent to it


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


class _Connection(TCPServer):
    """One client, which may be left."""

    async def protocol_send(self, event: Event) -> None:
        """Send something, unless the client takes nothing for too long."""
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        async with self.send_lock:
            try:
                with trio.move_on_after(PATIENCE) as patience:
                    await self.stream.send_all(event.data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self.protocol.handle(Closed())
                return
        if patience.cancelled_caught:
            await trio.aclose_forcefully(self.stream)
            await self.protocol.handle(Closed())


@asynccontextmanager
async def serving(bound: socket.socket, app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application for as long as the block lasts, on a socket that is then closed; yield the URL.

    The application gets no ``lifespan``: it lives in the block.
    """
    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None
    config.include_server_header = False
    context = WorkerContext(None)
    state: Any = {}
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")

    async def serve(stream: trio.SocketStream) -> None:
        connected: Any = stream  # which hypercorn types as one with TLS
        try:
            await _Connection(wrapped, config, context, ConnectionState(state), connected)
        except trio.ClosedResourceError:
            return  # it was left

    url = url_of(bound)
    bound.setblocking(False)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound))
    async with listener, beside(_end_soon) as connections, beside() as listening:
        listening.start_soon(partial(trio.serve_listeners, serve, [listener], handler_nursery=connections))
        try:
            yield url
        finally:
            await context.terminated.set()  # those that wait for a next question are closed


def _end_soon(connections: trio.Nursery) -> None:
    connections.cancel_scope.deadline = trio.current_time() + CLOSING
