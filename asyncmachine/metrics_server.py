"""`/metrics` over HTTP; see `asyncmachine.serving`."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asyncmachine.serving import CLOSING, bind, serving

__all__ = ["CLOSING", "bind", "serve_metrics"]


@asynccontextmanager
async def serve_metrics(bound: socket.socket, registry: CollectorRegistry) -> AsyncIterator[str]:
    """Serve `/metrics` for as long as the block lasts, on a socket that is then closed; yield the URL."""

    async def metrics(request: Request) -> Response:
        # async, so that it runs here and not in a thread: machines are of one thread
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": kind})

    async with serving(bound, Starlette(routes=[Route("/metrics", metrics)])) as url:
        yield f"{url}/metrics"
