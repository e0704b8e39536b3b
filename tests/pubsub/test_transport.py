"""What a transport promises, asked of the in-memory one; and what a `MemoryNetwork` adds to it.

The first part knows `Transport` and `Connection` only, and a `Place` where transports are made: another transport
passes it by a place of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import pytest
import trio
from trio.testing import MockClock

from machine import Machine, Schema, State
from pubsub import Domain, HybridClock, Identity, Publisher, WireError
from pubsub.boundary import CATALOG, LINK, SYNC, Message
from pubsub.messages import Frame, Parcel, Summary
from pubsub.transport import (
    Connection,
    ConnectionLost,
    DialError,
    MemoryNetwork,
    MemoryTransport,
    Overrun,
    Steady,
    Transport,
)
from pubsub.transport.clock import SECOND, now, sleep_until

MS = SECOND // 1000


class Place(Protocol):
    """Where transports of one kind are opened and end."""

    async def open(self, name: str) -> Transport[str]:
        """Open the transport of a peer. Its `peer` may be another name."""

    async def kill(self, transport: Transport[str]) -> None:
        """End a peer as a crash does."""

    def nobody(self) -> str:
        """Return a peer where nobody listens."""


class MemoryPlace:
    """A network of its own for each test, 10 ms wide."""

    def __init__(self, **options: Any) -> None:
        self.network = MemoryNetwork[str](**{"delays": Steady(10 * MS), "window": 20_000, "backlog": 50_000, **options})

    async def open(self, name: str) -> MemoryTransport[str]:
        return self.network.join(name)

    async def kill(self, transport: Transport[str]) -> None:
        self.network.crash(transport.peer)

    def nobody(self) -> str:
        return "nobody"


@pytest.fixture(params=[MemoryPlace])
def place(request: pytest.FixtureRequest) -> Place:
    made: Place = request.param()
    return made


async def pair(place: Place) -> tuple[Connection[str], Connection[str]]:
    """Connect two peers and return both ends, that of the dialler first."""
    left, right = await place.open("left"), await place.open("right")
    return await connect(left, right)


async def connect(left: Transport[str], right: Transport[str]) -> tuple[Connection[str], Connection[str]]:
    ours = await left.dial(right.peer)
    return ours, await right.accept()


def big(number: int) -> Summary:
    """Return a message of 4 kB that is known by its number."""
    return Summary((number,) * 1000)


def overrun(connection: Connection[str]) -> int:
    """Send big messages until no more may wait, and return how many were taken."""
    for number in range(100_000):
        try:
            connection.send(SYNC, 1, big(number))
        except Overrun:
            return number
    raise AssertionError("what waits has no bound")


async def read_all(connection: Connection[str]) -> None:
    while True:
        await connection.receive()


def parcels() -> Callable[[], Parcel]:
    """Return how to make records of one owner, each a new one: what a topic carries."""
    domain = Domain("topic")
    publisher = Publisher(Identity(b"o" * 32), domain, HybridClock(lambda: 1_700_000_000_000), 1)
    machine = Machine(Schema({"S": State()}), id="m")
    publisher.expose(machine)

    def make() -> Parcel:
        machine.toggle("S")
        publisher.changed(publisher.exposures[0])
        record = publisher.flush()
        assert record is not None
        return Parcel.of(record)

    return make


# -- connections


async def test_a_dial_gives_both_sides_one_end_each(place: Place, autojump_clock: MockClock) -> None:
    left, right = await place.open("left"), await place.open("right")
    ours, theirs = await connect(left, right)
    assert (ours.peer, ours.dialed) == (right.peer, True)
    assert (theirs.peer, theirs.dialed) == (left.peer, False)


async def test_a_dial_where_nobody_listens_fails(place: Place, autojump_clock: MockClock) -> None:
    left = await place.open("left")
    with pytest.raises(DialError):
        await left.dial(place.nobody())


async def test_who_is_connected_already_gets_the_connection_that_there_is(
    place: Place, autojump_clock: MockClock
) -> None:
    left, right = await place.open("left"), await place.open("right")
    ours, theirs = await connect(left, right)
    assert await left.dial(right.peer) is ours
    assert await right.dial(left.peer) is theirs


async def test_two_that_dial_each_other_at_once_have_one_connection(place: Place, autojump_clock: MockClock) -> None:
    left, right = await place.open("left"), await place.open("right")
    found: dict[str, Connection[str]] = {}

    async def dial(one: Transport[str], other: Transport[str]) -> None:
        found[one.peer] = await one.dial(other.peer)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial, left, right)
        nursery.start_soon(dial, right, left)
    found[left.peer].send(LINK, 0, Frame((), 1))
    found[right.peer].send(LINK, 0, Frame((), 2))
    assert await found[right.peer].receive() == (LINK, 0, Frame((), 1))
    assert await found[left.peer].receive() == (LINK, 0, Frame((), 2))
    assert found[left.peer].dialed is not found[right.peer].dialed


async def test_messages_keep_their_order_whatever_their_stream(place: Place, autojump_clock: MockClock) -> None:
    ours, theirs = await pair(place)
    said: list[tuple[int, int, Message]] = [
        (LINK, 0, Frame((), 1)),
        (SYNC, 1, big(2)),
        (LINK, 0, Frame((), 3)),
        (SYNC, 3, Summary((4,))),
        (SYNC, 1, Summary((5,))),
    ]
    for channel, stream, message in said:
        ours.send(channel, stream, message)
        theirs.send(channel, stream, message)
    assert [await theirs.receive() for _ in said] == said
    assert [await ours.receive() for _ in said] == said


async def test_a_cancelled_reader_loses_nothing(place: Place, autojump_clock: MockClock) -> None:
    ours, theirs = await pair(place)
    with trio.move_on_after(1) as scope:
        await theirs.receive()
    assert scope.cancelled_caught
    ours.send(LINK, 0, Frame((), 1))
    assert await theirs.receive() == (LINK, 0, Frame((), 1))


async def test_a_peer_has_many_connections_each_with_its_own_messages(place: Place, autojump_clock: MockClock) -> None:
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


async def test_a_slow_reader_slows_a_sender_that_asks_for_room(place: Place, autojump_clock: MockClock) -> None:
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
        await trio.sleep(60)
        assert 0 < sent < 100  # 400 kB: more than may be on the way
        for number in range(100):
            assert await theirs.receive() == (SYNC, 1, big(number))
    assert sent == 100


async def test_what_waits_is_bounded_and_the_connection_stands(place: Place, autojump_clock: MockClock) -> None:
    ours, theirs = await pair(place)
    sent = overrun(ours)
    for number in range(sent):
        assert await theirs.receive() == (SYNC, 1, big(number))
    ours.send(SYNC, 1, big(sent))
    assert await theirs.receive() == (SYNC, 1, big(sent))


async def test_a_slow_reader_does_not_hold_up_other_connections(place: Place, autojump_clock: MockClock) -> None:
    hub, slow, quick = await place.open("hub"), await place.open("slow"), await place.open("quick")
    to_slow, _ = await connect(hub, slow)
    to_quick, at_quick = await connect(hub, quick)
    overrun(to_slow)
    to_quick.send(SYNC, 1, big(7))
    assert await at_quick.receive() == (SYNC, 1, big(7))


async def test_drained_waits_until_all_has_arrived(place: Place, autojump_clock: MockClock) -> None:
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


async def test_both_ends_learn_of_a_hang_up(place: Place, autojump_clock: MockClock) -> None:
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


async def test_who_waits_learns_of_a_hang_up(place: Place, autojump_clock: MockClock) -> None:
    ours, theirs = await pair(place)
    overrun(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.room)
        nursery.start_soon(ours.drained)
        await trio.sleep(1)
        theirs.close()


async def test_a_peer_that_crashes_is_lost(place: Place, autojump_clock: MockClock) -> None:
    left, right = await place.open("left"), await place.open("right")
    ours, _ = await connect(left, right)
    await place.kill(right)
    with pytest.raises(ConnectionLost):
        await ours.receive()
    with pytest.raises(DialError):
        await left.dial(right.peer)


async def test_after_a_hang_up_both_can_connect_again(place: Place, autojump_clock: MockClock) -> None:
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

    def __init__(self, transport: Transport[str], nursery: trio.Nursery, *, agrees: bool = True) -> None:
        self.transport = transport
        self.heard: list[Message] = []
        self._agrees = agrees
        transport.subscribe(self._judge)
        nursery.start_soon(self._accept, nursery)

    def _judge(self, peer: str, message: Message) -> bool:
        self.heard.append(message)
        return self._agrees

    async def _accept(self, nursery: trio.Nursery) -> None:
        while True:
            nursery.start_soon(self.read, await self.transport.accept())

    async def read(self, connection: Connection[str]) -> None:
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
    await trio.sleep(2)  # a mesh takes its time
    return ears


async def test_what_is_published_reaches_everybody_once_and_not_its_publisher(
    place: Place, autojump_clock: MockClock
) -> None:
    make = parcels()
    async with trio.open_nursery() as nursery:
        ears = await line(place, nursery, True, True, True, True)
        await ears[3].dial(ears[0], nursery)  # a ring: there are two ways to everybody
        await trio.sleep(2)
        said = [make() for _ in range(5)]
        for parcel in said:
            ears[1].transport.publish(parcel)
            await trio.sleep(1)
        assert [ear.heard for ear in ears] == [said, [], said, said]
        nursery.cancel_scope.cancel()


async def test_what_a_judge_refuses_is_not_passed_on(place: Place, autojump_clock: MockClock) -> None:
    make = parcels()
    async with trio.open_nursery() as nursery:
        ears = await line(place, nursery, True, True, False, True)
        said = make()
        ears[0].transport.publish(said)
        await trio.sleep(5)
        assert [ear.heard for ear in ears] == [[], [said], [said], []]
        nursery.cancel_scope.cancel()


async def test_a_topic_goes_on_without_those_that_have_left(place: Place, autojump_clock: MockClock) -> None:
    make = parcels()
    async with trio.open_nursery() as nursery:
        ears = await line(place, nursery, True, True, True)
        await place.kill(ears[2].transport)
        await trio.sleep(1)
        said = make()
        ears[0].transport.publish(said)
        await trio.sleep(5)
        assert [ear.heard for ear in ears[:2]] == [[], [said]]
        nursery.cancel_scope.cancel()


# -- the in-memory network: its times


@pytest.fixture
def network() -> MemoryNetwork[str]:
    return MemoryPlace().network


async def ends(network: MemoryNetwork[str]) -> tuple[Connection[str], Connection[str]]:
    return await connect(network.join("left"), network.join("right"))


async def test_a_dial_takes_a_round_trip_and_the_other_side_knows_half_way(
    network: MemoryNetwork[str], autojump_clock: MockClock
) -> None:
    left, right = network.join("left"), network.join("right")

    async def answer() -> None:
        end = await right.accept()
        assert now() == 10 * MS
        end.send(LINK, 0, Frame((), 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        end = await left.dial("right")
        assert now() == 20 * MS
        await end.receive()
        assert now() == 20 * MS


async def test_a_refusal_takes_a_round_trip_and_silence_the_time_of_a_dial(
    network: MemoryNetwork[str], autojump_clock: MockClock
) -> None:
    left = network.join("left")
    with pytest.raises(DialError, match="'right' does not listen"):
        await left.dial("right")
    assert now() == 20 * MS
    network.join("right")
    network.crash("right", silent=True)
    with pytest.raises(DialError, match="'right' does not answer"):
        await left.dial("right")
    assert now() == 20 * MS + network.dial_timeout
    with pytest.raises(DialError, match="dials itself"):
        await left.dial("left")


class Drawn:
    """Latencies that are given frame by frame."""

    def __init__(self, *delays: int | None) -> None:
        self.delays = list(delays)

    def base(self, source: str, target: str) -> int:
        return 0

    def frames(self, source: str, target: str, generation: int) -> Callable[[int], int | None]:
        return lambda size: self.delays.pop(0)


async def test_frames_take_what_is_drawn_keep_their_order_and_may_be_lost(
    autojump_clock: MockClock,
) -> None:
    network = MemoryNetwork[str](delays=Drawn(50 * MS, None, 20 * MS, 60 * MS))
    ours, theirs = await ends(network)
    for number in range(4):
        ours.send(LINK, 0, Frame((), number))
    got = [((await theirs.receive())[2], now()) for _ in range(3)]
    assert got == [(Frame((), 0), 50 * MS), (Frame((), 2), 50 * MS), (Frame((), 3), 60 * MS)]
    assert network.statistics().lost == 1


async def test_peers_that_are_connected_at_once_find_the_connection_in_accept(
    network: MemoryNetwork[str], autojump_clock: MockClock
) -> None:
    left, right = network.join("left"), network.join("right")
    network.connect("left", "right")
    network.connect("left", "right")
    ours, theirs = await left.accept(), await right.accept()
    assert (ours.dialed, theirs.dialed, now()) == (True, False, 0)
    with trio.move_on_after(1) as scope:
        await left.accept()
    assert scope.cancelled_caught


async def test_a_peer_joins_once_and_a_name_is_free_again_after_it_left(
    network: MemoryNetwork[str], autojump_clock: MockClock
) -> None:
    left = network.join("left")
    with pytest.raises(ValueError, match="'left' has joined already"):
        network.join("left")
    left.close()
    assert network.join("left") is not left
    with pytest.raises(DialError, match="'left' has left the network"):
        await left.dial("right")


async def test_a_dialler_that_crashes_half_way_leaves_no_connection(
    network: MemoryNetwork[str], autojump_clock: MockClock
) -> None:
    left, right = network.join("left"), network.join("right")
    with trio.move_on_at(0.015):
        await left.dial("right")
    end = await right.accept()
    with pytest.raises(ConnectionLost):
        await end.receive()
    assert now() == 25 * MS


async def test_who_hangs_up_half_way_fails_the_dial(network: MemoryNetwork[str], autojump_clock: MockClock) -> None:
    left, right = network.join("left"), network.join("right")

    async def refuse() -> None:
        (await right.accept()).close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse)
        with pytest.raises(DialError, match="hung up at once"):
            await left.dial("right")


# -- its faults


async def test_a_cut_lets_nothing_through_not_even_what_is_on_its_way(
    network: MemoryNetwork[str], autojump_clock: MockClock
) -> None:
    ours, theirs = await ends(network)
    ours.send(LINK, 0, Frame((), 1))  # arrives before the cut, is read after it
    await trio.sleep(0.012)
    ours.send(LINK, 0, Frame((), 2))  # is on its way
    network.cut(["left"], ["right"])
    ours.send(LINK, 0, Frame((), 3))
    theirs.send(LINK, 0, Frame((), 4))  # the other way is free
    await trio.sleep(1)
    network.heal()
    ours.send(LINK, 0, Frame((), 5))
    assert [(await theirs.receive())[2] for _ in range(2)] == [Frame((), 1), Frame((), 5)]
    assert (await ours.receive())[2] == Frame((), 4)
    assert network.statistics().cut == 2


async def test_nobody_is_dialled_across_a_cut(network: MemoryNetwork[str], autojump_clock: MockClock) -> None:
    left = network.join("left")
    network.join("right")
    network.cut(["right"], ["left"])
    with pytest.raises(DialError, match="does not answer"):
        await left.dial("right")
    network.heal()
    await left.dial("right")


async def test_a_hang_up_across_a_cut_is_learned_of_by_the_next_frame(
    network: MemoryNetwork[str], autojump_clock: MockClock
) -> None:
    ours, theirs = await ends(network)
    network.cut(["left"], ["right"])
    ours.close()
    with trio.move_on_after(60) as scope:
        await theirs.receive()
    assert scope.cancelled_caught
    network.heal()
    began = now()
    theirs.send(LINK, 0, Frame((), 1))
    with pytest.raises(ConnectionLost):
        await theirs.receive()
    assert now() == began + 20 * MS


async def test_a_silent_crash_is_learned_of_when_the_peer_is_back(
    network: MemoryNetwork[str], autojump_clock: MockClock
) -> None:
    ours, _ = await ends(network)
    network.crash("right", silent=True)
    ours.send(LINK, 0, Frame((), 1))
    with trio.move_on_after(60) as scope:
        await ours.receive()
    assert scope.cancelled_caught
    back = network.join("right")
    await back.dial("left")
    with pytest.raises(ConnectionLost):
        await ours.receive()


async def test_the_window_counts_bytes_and_a_frame_larger_than_it_goes_alone(
    autojump_clock: MockClock,
) -> None:
    network = MemoryNetwork[str](window=5_000, backlog=1_000_000)
    ours, theirs = await ends(network)
    for number in range(3):
        ours.send(SYNC, 1, Summary((number,) * 10_000))
        ours.send(LINK, 0, Frame((), number))
    assert network.statistics().sent == 1
    for number in range(3):
        assert (await theirs.receive())[2] == Summary((number,) * 10_000)
        assert (await theirs.receive())[2] == Frame((), number)
    assert network.statistics().sent == 6


async def test_every_frame_is_accounted_for(network: MemoryNetwork[str], autojump_clock: MockClock) -> None:
    ours, theirs = await ends(network)
    overrun(ours)
    for _ in range(3):
        await theirs.receive()
    theirs.close()
    ours.send(SYNC, 1, big(0))  # a stray
    counts = network.statistics()
    assert counts.sent == counts.delivered + counts.closed
    assert counts.delivered == 3


async def test_the_topic_drops_what_a_slow_reader_has_no_room_for(
    network: MemoryNetwork[str], autojump_clock: MockClock
) -> None:
    make = parcels()
    left, right = network.join("left"), network.join("right")
    ours, theirs = await connect(left, right)
    heard: list[Message] = []

    def judge(peer: str, message: Message) -> bool:
        heard.append(message)
        return True

    right.subscribe(judge)
    overrun(ours)
    left.publish(make())
    assert network.statistics().dropped == 1
    with trio.move_on_after(1):
        await read_all(theirs)
    left.publish(make())
    with trio.move_on_after(1):
        await theirs.receive()
    assert len(heard) == 1


async def test_without_a_judge_nothing_is_passed_on(network: MemoryNetwork[str], autojump_clock: MockClock) -> None:
    left, right = network.join("left"), network.join("right")
    _, theirs = await connect(left, right)
    left.publish(parcels()())
    with trio.move_on_after(1):
        await theirs.receive()
    assert network.statistics().refused == 1


# -- bytes instead of messages


class Grants:
    """A codec that knows frames without records, and says how often it was used."""

    def __init__(self) -> None:
        self.spoken = 0

    def encode(self, channel: int, message: Message) -> bytes:
        self.spoken += 1
        return b"!" if not isinstance(message, Frame) else bytes((self.spoken, channel, message.grant))

    def decode(self, channel: int, data: bytes) -> Message:
        if len(data) != 3 or data[1] != channel:
            raise WireError("no grant")
        return Frame((), data[2], ping=data[0] > 1)


async def test_a_codec_carries_bytes_and_each_end_has_one_of_its_own(autojump_clock: MockClock) -> None:
    ours, theirs = await ends(MemoryNetwork(codec=Grants))
    for number in (7, 8):
        ours.send(LINK, 0, Frame((), number))
    theirs.send(LINK, 0, Frame((), 9))
    assert await theirs.receive() == (LINK, 0, Frame((), 7))
    assert await theirs.receive() == (LINK, 0, Frame((), 8, ping=True))
    assert await ours.receive() == (LINK, 0, Frame((), 9))


async def test_bytes_that_are_no_message_end_their_connection(autojump_clock: MockClock) -> None:
    network = MemoryNetwork[str](codec=Grants)
    ours, theirs = await ends(network)
    ours.send(CATALOG, 1, big(1))
    with pytest.raises(ConnectionLost):
        await theirs.receive()
    with pytest.raises(ConnectionLost):
        await ours.receive()
    assert network.statistics().garbled == 1


async def test_bytes_that_are_no_message_of_the_topic_are_refused(autojump_clock: MockClock) -> None:
    network = MemoryNetwork[str](codec=Grants)
    left, right = network.join("left"), network.join("right")
    ours, theirs = await connect(left, right)
    right.subscribe(lambda peer, message: True)
    left.publish(big(1))
    ours.send(LINK, 0, Frame((), 1))
    assert await theirs.receive() == (LINK, 0, Frame((), 1))
    assert network.statistics().refused == 1


# -- time


async def test_a_sleeper_never_wakes_before_its_time() -> None:
    began = now()
    for us in (0, 1, 333, 1_001):
        await sleep_until(began + us)
        assert now() >= began + us


async def test_under_a_mock_clock_times_are_exact(autojump_clock: MockClock) -> None:
    for at in (1, 3, 10, 999_999, 1_000_001, 123_456_789, 10**13 + 7):
        await sleep_until(at)
        assert now() == at
