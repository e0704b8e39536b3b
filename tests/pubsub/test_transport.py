"""What a transport promises, asked of each: the in-memory one, and the one on libp2p, on loopback.

A test knows `Transport` and `Connection` only, and a `Place` where transports are made: another transport passes these
tests by a place of its own. In memory time is virtual; on libp2p it is real, and a rest is as short as it may be.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, Protocol

import pytest
import trio
from trio.testing import MockClock

from pubsub import Domain, Identity
from pubsub.boundary import LINK, SECOND, SYNC, Message
from pubsub.messages import Frame, Summary
from pubsub.transport import (
    Connection,
    ConnectionLost,
    DialError,
    MemoryNetwork,
    MemoryTransport,
    Steady,
    Transport,
)
from pubsub.transport.addresses import id_of
from pubsub.transport.libp2p import Libp2pTransport, open_libp2p
from tests.pubsub.transports import big, connect, overrun, parcels, read_all, until

MS = SECOND // 1000
TOPIC = Domain("topic")


class Place(Protocol):
    """Where transports of one kind are opened and end."""

    async def open(self, name: str) -> Transport[Any]:
        """Open the transport of a peer. Its `peer` may be another name."""

    async def kill(self, transport: Transport[Any]) -> None:
        """End a peer as a crash does."""

    def nobody(self) -> Any:
        """Return a peer where nobody listens."""

    async def rest(self, seconds: float) -> None:
        """Let what is going on come to an end; it may take so long where time costs nothing."""


class MemoryPlace:
    """A network of its own for each test, 10 ms wide."""

    def __init__(self) -> None:
        self.network = MemoryNetwork[str](delays=Steady(10 * MS), window=20_000, backlog=50_000)

    async def open(self, name: str) -> MemoryTransport[str]:
        return self.network.join(name)

    async def kill(self, transport: Transport[str]) -> None:
        self.network.crash(transport.peer)

    def nobody(self) -> str:
        return "nobody"

    async def rest(self, seconds: float) -> None:
        await trio.sleep(seconds)


class Libp2pPlace:
    """Hosts of libp2p on loopback, all of which know each other's addresses."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._open: dict[bytes, tuple[Libp2pTransport, trio.CancelScope, trio.Event]] = {}

    async def open(self, name: str) -> Libp2pTransport:
        transport: Libp2pTransport = await self._nursery.start(self._run, Identity(name.encode().ljust(32, b".")))
        for other, _, _ in self._open.values():
            other.learn(transport.addresses[0])
            transport.learn(other.addresses[0])
            other.learn(full_of(self.nobody()))
            transport.learn(full_of(self.nobody()))
        return transport

    async def _run(self, identity: Identity, task_status: trio.TaskStatus[Libp2pTransport]) -> None:
        ended = trio.Event()
        with trio.CancelScope() as scope:
            async with open_libp2p(identity, topic=TOPIC, gossip=True, backlog=50_000) as transport:
                self._open[transport.peer] = transport, scope, ended
                task_status.started(transport)
                await trio.sleep_forever()
        ended.set()

    async def kill(self, transport: Transport[bytes]) -> None:
        _, scope, ended = self._open.pop(transport.peer)
        scope.cancel()
        await ended.wait()

    def nobody(self) -> bytes:
        return Identity(b"nobody".ljust(32)).owner

    async def rest(self, seconds: float) -> None:
        await trio.sleep(1.2 if seconds > 1 else 0.2)  # more than a heartbeat of gossipsub, or a little


def full_of(peer: bytes) -> str:
    """Return an address of a peer at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"/ip4/127.0.0.1/tcp/{free.getsockname()[1]}/p2p/{id_of(peer).to_base58()}"


@pytest.fixture(params=["memory", "libp2p"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock(kind: str) -> MockClock | None:
    return MockClock(autojump_threshold=0) if kind == "memory" else None


@pytest.fixture
async def place(kind: str) -> AsyncIterator[Place]:
    if kind == "memory":
        yield MemoryPlace()
        return
    async with trio.open_nursery() as nursery:
        yield Libp2pPlace(nursery)
        nursery.cancel_scope.cancel()


async def pair(place: Place) -> tuple[Connection[Any], Connection[Any]]:
    """Connect two peers and return both ends, that of the dialler first."""
    left, right = await place.open("left"), await place.open("right")
    return await connect(left, right)


# -- connections


async def test_a_dial_gives_both_sides_one_end_each(place: Place, clock: MockClock | None) -> None:
    left, right = await place.open("left"), await place.open("right")
    ours, theirs = await connect(left, right)
    assert (ours.peer, ours.dialed) == (right.peer, True)
    assert (theirs.peer, theirs.dialed) == (left.peer, False)


async def test_a_dial_where_nobody_listens_fails(place: Place, clock: MockClock | None) -> None:
    left = await place.open("left")
    with pytest.raises(DialError):
        await left.dial(place.nobody())


async def test_who_is_connected_already_gets_the_connection_that_there_is(
    place: Place, clock: MockClock | None
) -> None:
    left, right = await place.open("left"), await place.open("right")
    ours, theirs = await connect(left, right)
    assert await left.dial(right.peer) is ours
    assert await right.dial(left.peer) is theirs


async def test_two_that_dial_each_other_at_once_have_one_connection(place: Place, clock: MockClock | None) -> None:
    left, right = await place.open("left"), await place.open("right")
    found: dict[Any, Connection[Any]] = {}

    async def dial(one: Transport[Any], other: Transport[Any]) -> None:
        found[one.peer] = await one.dial(other.peer)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial, left, right)
        nursery.start_soon(dial, right, left)
    found[left.peer].send(LINK, 0, Frame((), 1))
    found[right.peer].send(LINK, 0, Frame((), 2))
    assert await found[right.peer].receive() == (LINK, 0, Frame((), 1))
    assert await found[left.peer].receive() == (LINK, 0, Frame((), 2))
    assert found[left.peer].dialed is not found[right.peer].dialed


async def test_messages_keep_their_order_whatever_their_stream(place: Place, clock: MockClock | None) -> None:
    ours, theirs = await pair(place)
    said: list[tuple[int, int, Message]] = [
        (LINK, 0, Frame((), 1)),
        (SYNC, 1, big(2)),
        (LINK, 0, Frame((), 3)),
        (SYNC, 3, Summary((4,) * 16)),
        (SYNC, 1, Summary((5,) * 16)),
    ]
    for channel, stream, message in said:
        ours.send(channel, stream, message)
        theirs.send(channel, stream, message)
    assert [await theirs.receive() for _ in said] == said
    assert [await ours.receive() for _ in said] == said


async def test_a_cancelled_reader_loses_nothing(place: Place, clock: MockClock | None) -> None:
    ours, theirs = await pair(place)
    with trio.move_on_after(0.1) as scope:
        await theirs.receive()
    assert scope.cancelled_caught
    ours.send(LINK, 0, Frame((), 1))
    assert await theirs.receive() == (LINK, 0, Frame((), 1))


async def test_a_peer_has_many_connections_each_with_its_own_messages(place: Place, clock: MockClock | None) -> None:
    hub = await place.open("hub")
    ends = []
    for name in ("a", "b", "c"):
        spoke = await place.open(name)
        ends.append(await connect(spoke, hub))
    for number, (ours, _) in enumerate(ends):
        ours.send(LINK, 0, Frame((), number))
    for number, (ours, theirs) in reversed(list(enumerate(ends))):
        assert await theirs.receive() == (LINK, 0, Frame((), number))
        theirs.send(LINK, 0, Frame((), 10 * number))
        assert await ours.receive() == (LINK, 0, Frame((), 10 * number))


# -- backpressure


async def test_a_slow_reader_slows_a_sender_that_asks_for_room(place: Place, clock: MockClock | None) -> None:
    ours, theirs = await pair(place)
    sent = 0

    async def send() -> None:
        nonlocal sent
        while sent < 100:
            await ours.room()
            ours.send(SYNC, 1, big(sent))
            sent += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await place.rest(60)
        assert 0 < sent < 100  # 400 kB: more than may be on the way
        for number in range(100):
            assert await theirs.receive() == (SYNC, 1, big(number))
    assert sent == 100


async def test_what_waits_is_bounded_and_the_connection_stands(place: Place, clock: MockClock | None) -> None:
    ours, theirs = await pair(place)
    sent = overrun(ours)
    for number in range(sent):
        assert await theirs.receive() == (SYNC, 1, big(number))
    ours.send(SYNC, 1, big(sent))
    assert await theirs.receive() == (SYNC, 1, big(sent))


async def test_a_slow_reader_does_not_hold_up_other_connections(place: Place, clock: MockClock | None) -> None:
    hub, slow, quick = await place.open("hub"), await place.open("slow"), await place.open("quick")
    to_slow, _ = await connect(hub, slow)
    to_quick, at_quick = await connect(hub, quick)
    overrun(to_slow)
    to_quick.send(SYNC, 1, big(7))
    assert await at_quick.receive() == (SYNC, 1, big(7))


async def test_drained_waits_until_all_has_arrived(place: Place, clock: MockClock | None) -> None:
    ours, theirs = await pair(place)
    for number in range(10):
        ours.send(SYNC, 1, big(number))
    got = []

    async def read() -> None:
        for _ in range(10):
            got.append(await theirs.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await ours.drained()
        ours.close()
    assert len(got) == 10


# -- endings


async def test_both_ends_learn_of_a_hang_up(place: Place, clock: MockClock | None) -> None:
    ours, theirs = await pair(place)
    ours.close()
    with pytest.raises(ConnectionLost):
        ours.send(LINK, 0, Frame((), 1))
    for end in (ours, theirs):
        with pytest.raises(ConnectionLost):
            await end.receive()
    with pytest.raises(ConnectionLost):
        theirs.send(LINK, 0, Frame((), 1))
    ours.close()  # again: nothing
    theirs.close()


async def test_who_waits_learns_of_a_hang_up(place: Place, clock: MockClock | None) -> None:
    ours, theirs = await pair(place)
    overrun(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.room)
        nursery.start_soon(ours.drained)
        await place.rest(1)
        theirs.close()


async def test_a_peer_that_crashes_is_lost(place: Place, clock: MockClock | None) -> None:
    left, right = await place.open("left"), await place.open("right")
    ours, _ = await connect(left, right)
    await place.kill(right)
    with pytest.raises(ConnectionLost):
        await ours.receive()
    with pytest.raises(DialError):
        await left.dial(right.peer)


async def test_after_a_hang_up_both_can_connect_again(place: Place, clock: MockClock | None) -> None:
    left, right = await place.open("left"), await place.open("right")
    first, other = await connect(left, right)
    first.send(LINK, 0, Frame((), 1))
    first.close()
    with pytest.raises(ConnectionLost):
        await read_all(other)  # what was on its way may have arrived
    ours, theirs = await connect(right, left)
    assert ours is not other
    ours.send(LINK, 0, Frame((), 2))
    assert await theirs.receive() == (LINK, 0, Frame((), 2))


# -- the topic


class Ear:
    """Reads all connections of a peer, and judges what the topic says."""

    def __init__(self, transport: Transport[Any], nursery: trio.Nursery, *, agrees: bool = True) -> None:
        self.transport = transport
        self.heard: list[Message] = []
        self._agrees = agrees
        transport.subscribe(self._judge)
        nursery.start_soon(self._accept, nursery)

    def _judge(self, peer: Any, message: Message) -> bool:
        self.heard.append(message)
        return self._agrees

    async def _accept(self, nursery: trio.Nursery) -> None:
        while True:
            nursery.start_soon(self.read, await self.transport.accept())

    async def read(self, connection: Connection[Any]) -> None:
        try:
            while True:
                await connection.receive()
        except ConnectionLost:
            pass

    async def dial(self, other: Ear, nursery: trio.Nursery) -> None:
        nursery.start_soon(self.read, await self.transport.dial(other.transport.peer))


async def line(place: Place, nursery: trio.Nursery, *agrees: bool) -> list[Ear]:
    """Connect peers in a line."""
    ears = [Ear(await place.open(f"peer{i}"), nursery, agrees=agreed) for i, agreed in enumerate(agrees)]
    for one, two in pairwise(ears):
        await one.dial(two, nursery)
    await place.rest(2)  # a mesh takes its time
    return ears


async def test_what_is_published_reaches_everybody_once_and_not_its_publisher(
    place: Place, clock: MockClock | None
) -> None:
    make = parcels(TOPIC)
    async with trio.open_nursery() as nursery:
        ears = await line(place, nursery, True, True, True, True)
        await ears[3].dial(ears[0], nursery)  # a ring: there are two ways to everybody
        await place.rest(2)
        said = [make() for _ in range(5)]
        for number, parcel in enumerate(said, 1):
            ears[1].transport.publish(parcel)
            await until(lambda number=number: all(len(ears[i].heard) >= number for i in (0, 2, 3)))  # type: ignore[misc]
        await place.rest(1)
        assert [ear.heard for ear in ears] == [said, [], said, said]
        nursery.cancel_scope.cancel()


async def test_what_a_judge_refuses_is_not_passed_on(place: Place, clock: MockClock | None) -> None:
    make = parcels(TOPIC)
    async with trio.open_nursery() as nursery:
        ears = await line(place, nursery, True, True, False, True)
        said = make()
        ears[0].transport.publish(said)
        await until(lambda: bool(ears[2].heard))
        await place.rest(5)
        assert [ear.heard for ear in ears] == [[], [said], [said], []]
        nursery.cancel_scope.cancel()


async def test_a_topic_goes_on_without_those_that_have_left(place: Place, clock: MockClock | None) -> None:
    make = parcels(TOPIC)
    async with trio.open_nursery() as nursery:
        ears = await line(place, nursery, True, True, True)
        await place.kill(ears[2].transport)
        await place.rest(1)
        said = make()
        ears[0].transport.publish(said)
        await until(lambda: bool(ears[1].heard))
        assert [ear.heard for ear in ears[:2]] == [[], [said]]
        nursery.cancel_scope.cancel()
