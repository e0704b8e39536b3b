"""What a `MemoryNetwork` adds to what a transport promises, which `test_transport.py` asks of it: times and faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from pubsub import Domain, WireError
from pubsub.boundary import CATALOG, LINK, SECOND, SYNC, Message
from pubsub.messages import Frame, Summary
from pubsub.transport import Connection, ConnectionLost, DialError, MemoryNetwork, Steady
from pubsub.transport.clock import now, sleep_until
from tests.pubsub.transports import big, connect, overrun, parcels, read_all

MS = SECOND // 1000
TOPIC = Domain("topic")


# -- the in-memory network: its times


@pytest.fixture
def network() -> MemoryNetwork[str]:
    return MemoryNetwork(delays=Steady(10 * MS), window=20_000, backlog=50_000)


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
    make = parcels(TOPIC)
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
    left.publish(parcels(TOPIC)())
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
