"""A relay: delays what goes between two sockets, for machines whose kernel has no netem.

It runs in a process of its own. Its standard input is JSON: a list of edges, each with the port behind it and what it
does. Its standard output is the list of ports to dial instead. A connection keeps its order, as TCP does; a piece that
is "lost" comes later by `retransmit`, and what is behind it waits: the model of the engine, and not that of a kernel.
"""

from __future__ import annotations

import json
import sys
from random import Random
from typing import Any

import trio

PIECE = 65_536
WAITING = 1_024  # pieces on their way in one direction


async def carry(source: trio.SocketStream, target: trio.SocketStream, edge: dict[str, Any], rng: Random) -> None:
    """Carry one direction of a connection, each piece after its delay."""
    send, receive = trio.open_memory_channel[tuple[float, bytes]](WAITING)
    last = 0.0

    async def take() -> None:
        nonlocal last
        async with send:
            async for piece in source:
                due = trio.current_time() + edge["delay"] + rng.random() * edge["jitter"]
                if rng.random() < edge["loss"]:
                    due += edge["retransmit"]
                last = max(last, due)
                await send.send((last, bytes(piece)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        async for due, piece in receive:
            await trio.sleep_until(due)
            await target.send_all(piece)
        await target.send_eof()


async def serve(listener: trio.SocketListener, edge: dict[str, Any], seed: int) -> None:
    """Relay all connections of one edge."""

    async def relay(near: trio.SocketStream) -> None:
        try:
            async with await trio.open_tcp_stream("127.0.0.1", edge["port"]) as far, trio.open_nursery() as nursery:
                for stream in (near, far):
                    stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
                nursery.start_soon(carry, near, far, edge, Random(f"{seed} forth"))
                nursery.start_soon(carry, far, near, edge, Random(f"{seed} back"))
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # one side hung up: so does the other

    await trio.serve_listeners(relay, [listener])


async def main() -> None:
    """Open a port for each edge, tell them, and relay until the standard input ends."""
    reader = sys.stdin
    edges = json.loads(await trio.to_thread.run_sync(reader.readline))
    async with trio.open_nursery() as nursery:
        ports = []
        for at, edge in enumerate(edges):
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            ports.append(listener.socket.getsockname()[1])
            nursery.start_soon(serve, listener, edge, at)
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(reader.readline)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
