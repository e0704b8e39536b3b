"""The feed over HTTP: server-sent events to one client, as an ASGI application.

A client that has not taken what was sent for `SLOW` seconds is hung up. A comment each `PING` seconds finds out whether
it is still there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import trio

from asyncmachine.web.feed import Client, Hub

SLOW: Final = 10.0  # s
PING: Final = 15.0  # s

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class HungUpError(Exception):
    """Report a client that was hung up, as it did not read: an answer that ends like this is never whole."""


class Stream:
    """One client's feed, to be called as an ASGI application.

    Args:
        hub: which has this client.
        client: to be told.
    """

    def __init__(self, hub: Hub, client: Client, *, slow: float = SLOW, ping: float = PING) -> None:
        self._hub = hub
        self._client = client
        self._slow = slow
        self._ping = ping
        self.was_slow = False
        self._is_ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell it what happens, until it goes, or is too slow, or the feed ends."""
        try:
            async with trio.open_nursery() as nursery:

                async def wait_for_the_end() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    if not self._is_ending:  # else it comes of the last word, which is still being sent
                        nursery.cancel_scope.cancel()

                nursery.start_soon(wait_for_the_end)
                await self._tell(send)
                nursery.cancel_scope.cancel()
        finally:
            self._hub.leave(self._client)

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        while True:
            data: bytes | None = b": still here\n\n"
            with trio.move_on_after(self._ping):
                data = await self._client.next()
            self._is_ending = data is None
            with trio.move_on_after(self._slow) as patience:
                await send({"type": "http.response.body", "body": data or b"", "more_body": data is not None})
            if patience.cancelled_caught:
                self.was_slow = True
                return
            if data is None:
                return
