"""The driver: what runs the core of one peer under trio, on a transport.

    driver = Driver(core, transport, notify=print)
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        driver.call(core.expose, machine)
        ...
        await driver.stop()

It knows nothing of the protocol. It tells the core the time and what happens, and carries out what the core wants.

* One input at a time, and its outputs in their order before the next one. Nothing in between waits: so every task of
  the driver may give the core its input at once, and there is no queue of inputs.
* A peer that reads too slowly for what is sent to it is hung up on, and counted: the core finds it again.
* All tasks are in one nursery. Cancelling `run` ends them, and the connections, at once; `stop` lets go first what is
  on its way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic

import trio

from pubsub.boundary import (
    DIAL,
    HANG_UP,
    NEVER,
    NOTIFY,
    PUBLISH,
    REFUSE,
    SEND,
    WAKE,
    Message,
    Node,
    Output,
    Outputs,
    P,
)
from pubsub.transport.clock import deadline, now
from pubsub.transport.contract import Connection, Transport
from pubsub.transport.errors import ConnectionLost, DialError, Overrun

PATIENCE = 1.0  # s that `stop` waits for what is on its way


@dataclass(slots=True)
class DriverCounts:
    """What one driver has done."""

    inputs: int = 0
    timers: int = 0
    sent: int = 0
    received: int = 0
    published: int = 0
    heard: int = 0
    refused: int = 0
    """Messages of the topic that the core did not let pass."""
    unsent: int = 0
    """Messages for peers that are not connected (any more)."""
    overrun: int = 0
    """Connections that were ended since the other end read too slowly."""
    dials: int = 0
    failed_dials: int = 0


class Driver(Generic[P]):
    """Runs one node on one transport.

    Args:
        node: the core. Nobody else may call it, once `run` has begun, but by `call`.
        transport: open and listening. Who made it closes it, after `run` has ended.
        notify: is told each event of the core, after all that the core wanted before it was carried out. It must not
            wait, and may use `call`.
        failed: is told of each dial that failed, and why.
    """

    def __init__(
        self,
        node: Node[P],
        transport: Transport[P],
        *,
        notify: Callable[[object], object] | None = None,
        failed: Callable[[P, DialError], object] | None = None,
    ) -> None:
        self._node = node
        self._transport = transport
        self._notify = notify
        self._failed = failed
        self._counts = DriverCounts()
        self._connections: dict[P, Connection[P]] = {}
        self._nursery: trio.Nursery | None = None
        self._inputs: deque[tuple[Callable[..., Outputs[P]], tuple[Any, ...]]] = deque()
        self._busy = False
        self._stopping = False
        self._ended = trio.Event()
        self._wake = NEVER
        self._alarm = trio.CancelScope()

    def __repr__(self) -> str:
        state = "stopping" if self._stopping else "running" if self._nursery is not None else "new"
        return f"<Driver of {self._transport.peer!r}, {state}, {len(self._connections)} connections>"

    @property
    def peers(self) -> list[P]:
        """Who is connected, the longest connection first."""
        return list(self._connections)

    def dialed(self, peer: P) -> bool | None:
        """Tell whether this end has made the connection with a peer; None: there is none."""
        connection = self._connections.get(peer)
        return None if connection is None else connection.dialed

    def statistics(self) -> DriverCounts:
        """Return what was done so far."""
        return replace(self._counts)

    # -- life

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the node, and run it until `stop`, or until cancelled. Once.

        Raises:
            Whatever the node or `notify` raises: it is a fault of ours, never of a peer.
        """
        if self._nursery is not None:
            raise RuntimeError("a driver runs once")
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._transport.subscribe(self._judge)
                self._enter(self._node.start)
                task_status.started()
                nursery.start_soon(self._accept)
                nursery.start_soon(self._keep_time)
        finally:
            self._stopping = True
            self._hang_up()
            self._ended.set()

    async def stop(self, *, patience: float = PATIENCE) -> None:
        """End `run`: take nothing in any more, let out what is on its way for up to `patience` seconds, and hang up."""
        self._stopping = True
        if self._nursery is None:
            return
        with trio.move_on_after(patience):
            for connection in list(self._connections.values()):
                await connection.drained()
        self._hang_up()
        self._nursery.cancel_scope.cancel()
        await self._ended.wait()

    def _hang_up(self) -> None:
        while self._connections:
            self._connections.popitem()[1].close()

    # -- inputs

    def call(self, function: Callable[..., Outputs[P]], *args: Any) -> None:
        """Call a method of the node that takes the time first, and carry out its outputs.

        At once, and what it raises is raised here; but from within `notify` it is done as soon as that has returned,
        and what it then raises ends `run`. Nothing, once the driver stops.
        """
        self._enter(function, *args)

    def dial(self, peer: P) -> None:
        """Connect with a peer, as if the node had asked for it."""
        assert self._nursery is not None
        if peer not in self._connections and not self._stopping:
            self._counts.dials += 1
            self._nursery.start_soon(self._dial, peer)

    def _enter(self, function: Callable[..., Outputs[P]], *args: Any) -> bool:
        """Give the node an input; tell whether it refused nothing of it."""
        if self._stopping:
            return False
        self._inputs.append((function, args))
        if self._busy:
            return True
        self._busy = True
        agreed = True
        try:
            while self._inputs:
                function, args = self._inputs.popleft()
                self._counts.inputs += 1
                for out in function(now(), *args):
                    agreed = agreed and out[0] != REFUSE
                    self._carry_out(out)
        finally:
            self._inputs.clear()
            self._busy = False
        return agreed

    def _judge(self, peer: P, message: Message) -> bool:
        self._counts.heard += 1
        agreed = self._enter(self._node.topic, peer, message)
        self._counts.refused += not agreed
        return agreed

    async def _accept(self) -> None:
        while True:
            self._adopt(await self._transport.accept())

    async def _dial(self, peer: P) -> None:
        try:
            connection = await self._transport.dial(peer)
        except DialError as error:
            self._counts.failed_dials += 1
            if self._failed is not None:
                self._failed(peer, error)
            if peer not in self._connections:
                self._enter(self._node.link_down, peer)
        else:
            self._adopt(connection)

    def _adopt(self, connection: Connection[P]) -> None:
        """Begin to use a connection; an older one with the same peer ends first, as the node must not see two."""
        peer = connection.peer
        old = self._connections.get(peer)
        if old is connection:
            return
        if old is not None:
            self._lose(peer, old)
        if self._stopping:
            connection.close()
            return
        assert self._nursery is not None
        self._connections[peer] = connection
        self._nursery.start_soon(self._serve, peer, connection)
        self._enter(self._node.link_up, peer, connection.dialed)

    async def _serve(self, peer: P, connection: Connection[P]) -> None:
        try:
            while True:
                channel, stream, message = await connection.receive()
                if self._connections.get(peer) is connection:
                    self._counts.received += 1
                    self._enter(self._node.receive, peer, channel, stream, message)
        except ConnectionLost:
            self._lose(peer, connection)

    def _lose(self, peer: P, connection: Connection[P]) -> None:
        """Tell the node that a connection has ended; nothing, if it knows."""
        if self._connections.get(peer) is connection:
            del self._connections[peer]
            connection.close()
            self._enter(self._node.link_down, peer)

    async def _keep_time(self) -> None:
        while True:
            with trio.CancelScope(deadline=deadline(self._wake)) as self._alarm:
                await trio.sleep_forever()
            if self._wake <= now():  # it may have been put off after the alarm had gone off
                self._wake = NEVER
                self._counts.timers += 1
                self._enter(self._node.timer)

    # -- outputs

    def _carry_out(self, out: Output[P]) -> None:
        if out[0] == SEND:
            self._send(out[1], out[2], out[3], out[4])
        elif out[0] == WAKE:
            self._wake = out[1]
            self._alarm.deadline = deadline(out[1])
        elif out[0] == NOTIFY:
            if self._notify is not None:
                self._notify(out[1])
        elif out[0] == PUBLISH:
            self._counts.published += 1
            self._transport.publish(out[1])
        elif out[0] == DIAL:
            self.dial(out[1])
        elif out[0] == HANG_UP:
            connection = self._connections.pop(out[1], None)
            if connection is not None:
                connection.close()

    def _send(self, peer: P, channel: int, stream: int, message: Message) -> None:
        connection = self._connections.get(peer)
        if connection is None:
            self._counts.unsent += 1
            return
        try:
            connection.send(channel, stream, message)
        except ConnectionLost:  # whoever reads from it is about to tell the node
            self._counts.unsent += 1
        except Overrun:
            self._counts.overrun += 1
            self._lose(peer, connection)
        else:
            self._counts.sent += 1
