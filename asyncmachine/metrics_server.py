"""`/metrics` over HTTP: hypercorn and starlette, in the nursery of whoever serves them.

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
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asyncmachine.errors import ServeError

CLOSING: Final = 0.5  # s that answers which are under way may take at the end


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound there.

    Raises:
        ServeError: it cannot be.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServeError(f"cannot serve metrics on {where}: {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        bound.close()
        raise ServeError(f"cannot serve metrics on {where}: {error.strerror}. Give another port, or 0") from error
    return bound


@asynccontextmanager
async def serve_metrics(bound: socket.socket, registry: CollectorRegistry) -> AsyncIterator[str]:
    """Serve `/metrics` for as long as the block lasts, on a socket that is then closed; yield the URL."""

    async def metrics(request: Request) -> Response:
        # async, so that it runs here and not in a thread: machines are of one thread
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": kind})

    app = Starlette(routes=[Route("/metrics", metrics)])
    host, port = bound.getsockname()[:2]
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None
    config.include_server_header = False
    config.graceful_timeout = CLOSING
    asked, over = trio.Event(), trio.Event()
    starlette: Any = app  # which types what it is called with more loosely than hypercorn does

    async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
        try:
            await serve(starlette, config, shutdown_trigger=asked.wait, mode="asgi", task_status=task_status)
        finally:
            over.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        try:
            yield f"http://[{host}]:{port}/metrics" if ":" in host else f"http://{host}:{port}/metrics"
        finally:
            asked.set()
            with trio.CancelScope(shield=True), trio.move_on_after(2 * CLOSING):
                await over.wait()
            nursery.cancel_scope.cancel()
