"""The page on a port, in the nursery of whoever serves it. At its end the feeds go first, so that nothing waits."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from asyncmachine.errors import ServeError
from asyncmachine.serving import bind, serving
from asyncmachine.web.app import Page
from machine.beside import beside

PORT: Final = 8321
WHAT: Final = "the page"


def bind_page(address: tuple[str, int] | None) -> socket.socket:
    """Return a bound socket; None: on loopback, on `PORT`, or if that is taken, on any.

    Raises:
        ServeError: it cannot be bound.
    """
    if address is not None:
        return bind(*address, WHAT)
    try:
        return bind("127.0.0.1", PORT, WHAT)
    except ServeError:
        return bind("127.0.0.1", 0, WHAT)


@asynccontextmanager
async def serve_page(bound: socket.socket, page: Page) -> AsyncIterator[str]:
    """Serve a page for as long as the block lasts, on a socket that is then closed; yield the URL."""
    async with beside() as nursery, serving(bound, page.asgi) as url:
        nursery.start_soon(page.run)
        try:
            yield url
        finally:
            page.close()
