"""The driver tells a node what happens, one thing at a time, does what it wants, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from machine import Machine, Schema, State
from pubsub import Domain, Identity
from pubsub.boundary import (
    DIAL,
    HANG_UP,
    LINK,
    NEVER,
    NOTIFY,
    PUBLISH,
    REFUSE,
    SECOND,
    SEND,
    SYNC,
    WAKE,
    Host,
    Message,
    Output,
)
from pubsub.core import Core
from pubsub.driver import Driver
from pubsub.messages import Frame, Summary
from pubsub.transport import MemoryNetwork, Steady
from pubsub.transport.clock import now
from simulations.disk import Disk
from simulations.seeds import stream

MS = SECOND // 1000
Wanted = Sequence[Output[str]]


class Script:
    """A node that writes down its inputs, and answers each kind with what it was told to."""

    def __init__(self, **answers: Wanted) -> None:
        self.answers = answers
        self.told: list[tuple[Any, ...]] = []

    def _note(self, now: int, kind: str, *args: Any) -> Wanted:
        self.told.append((kind, now, *args))
        return self.answers.get(kind, ())

    def start(self, now: int) -> Wanted:
        return self._note(now, "start")

    def link_up(self, now: int, peer: str, dialed_by_us: bool) -> Wanted:
        return self._note(now, "up", peer, dialed_by_us)

    def link_down(self, now: int, peer: str) -> Wanted:
        return self._note(now, "down", peer)

    def receive(self, now: int, peer: str, channel: int, stream: int, message: Message) -> Wanted:
        return self._note(now, "receive", peer, channel, stream, message)

    def topic(self, now: int, peer: str, message: Message) -> Wanted:
        return self._note(now, "topic", peer, message)

    def timer(self, now: int) -> Wanted:
        return self._note(now, "timer")

    def ask(self, now: int, *outputs: Output[str]) -> Wanted:
        """Want something, as a call of the application."""
        self._note(now, "ask")
        return outputs

    def kinds(self) -> list[str]:
        return [kind for kind, *_ in self.told]

    def all(self, kind: str) -> list[tuple[Any, ...]]:
        return [tuple(rest) for found, *rest in self.told if found == kind]


class Room:
    """Peers with a script each, on a network that is 10 ms wide."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.network = MemoryNetwork[str](delays=Steady(10 * MS), window=20_000, backlog=50_000)
        self.drivers: dict[str, Driver[str]] = {}
        self.nodes: dict[str, Script] = {}
        self.events: list[object] = []

    async def enter(self, name: str, **answers: Wanted) -> Script:
        node = self.nodes[name] = Script(**answers)
        driver = self.drivers[name] = Driver(node, self.network.join(name), notify=self.events.append)
        await self.nursery.start(driver.run)
        return node

    def ask(self, name: str, *outputs: Output[str]) -> None:
        self.drivers[name].call(self.nodes[name].ask, *outputs)

    async def pair(self) -> tuple[Script, Script]:
        left, right = await self.enter("left"), await self.enter("right")
        self.drivers["left"].dial("right")
        await trio.sleep(0.1)
        return left, right

    async def leave(self) -> None:
        for driver in self.drivers.values():
            await driver.stop()


# -- inputs


async def test_the_start_is_the_first_input_and_its_outputs_are_carried_out(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        node = await room.enter("left", start=[(NOTIFY, "hello"), (WAKE, 5 * MS)])
        assert (node.told, room.events) == ([("start", 0)], ["hello"])
        await trio.sleep(1)
        assert node.told == [("start", 0), ("timer", 5 * MS)]
        await room.leave()


async def test_both_nodes_learn_of_a_connection_and_who_dialled(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        left, right = await room.pair()
        assert left.all("up") == [(20 * MS, "right", True)]
        assert right.all("up") == [(10 * MS, "left", False)]
        assert room.drivers["left"].peers == ["right"]
        await room.leave()


async def test_messages_come_in_order_with_channel_and_stream(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        _, right = await room.pair()
        room.ask("left", (SEND, "right", SYNC, 3, Summary((1,))), (SEND, "right", LINK, 0, Frame((), 2)))
        await trio.sleep(1)
        assert right.all("receive") == [
            (110 * MS, "left", SYNC, 3, Summary((1,))),
            (110 * MS, "left", LINK, 0, Frame((), 2)),
        ]
        assert room.drivers["right"].statistics().received == 2
        await room.leave()


async def test_a_dial_that_fails_is_told_as_a_link_that_is_down(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        node = await room.enter("left", start=[(DIAL, "nobody")])
        await trio.sleep(1)
        assert node.all("down") == [(20 * MS, "nobody")]
        assert room.drivers["left"].statistics().failed_dials == 1
        await room.leave()


async def test_who_is_connected_is_not_dialled(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        left, right = await room.pair()
        room.ask("left", (DIAL, "right"))
        room.ask("right", (DIAL, "left"))
        await trio.sleep(1)
        assert left.kinds() == ["start", "up", "ask"]
        assert right.kinds() == ["start", "up", "ask"]
        await room.leave()


async def test_two_that_dial_each_other_at_once_learn_of_one_connection(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        left, right = await room.enter("left"), await room.enter("right")
        room.drivers["left"].dial("right")
        room.drivers["right"].dial("left")
        await trio.sleep(1)
        assert [len(node.all("up")) for node in (left, right)] == [1, 1]
        await room.leave()


async def test_who_hangs_up_is_not_told_and_the_other_one_is(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        left, right = await room.pair()
        room.ask("left", (HANG_UP, "right"), (HANG_UP, "right"), (SEND, "right", LINK, 0, Frame((), 1)))
        await trio.sleep(1)
        assert left.all("down") == []
        assert right.all("down") == [(110 * MS, "left")]
        assert room.drivers["left"].statistics().unsent == 1
        await room.leave()


async def test_a_newer_connection_ends_the_older_one_first(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        _, right = await room.pair()
        room.network.cut(["left"], ["right"])
        room.ask("left", (HANG_UP, "right"))  # the news does not get through
        room.network.heal()
        room.drivers["left"].dial("right")
        await trio.sleep(1)
        assert right.told[2:] == [("down", 110 * MS, "left"), ("up", 110 * MS, "left", False)]
        await room.leave()


# -- the topic


async def test_the_topic_is_judged_by_the_node_and_passed_on(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        left, right = await room.pair()
        far = await room.enter("far")
        room.drivers["far"].dial("right")
        await trio.sleep(1)
        room.ask("left", (PUBLISH, Summary((1,))))
        await trio.sleep(1)
        assert [peer for _, peer, _ in far.all("topic")] == ["right"]
        right.answers["topic"] = [(REFUSE, "no")]
        room.ask("left", (PUBLISH, Summary((2,))))
        await trio.sleep(1)
        assert (len(left.all("topic")), len(right.all("topic")), len(far.all("topic"))) == (0, 2, 1)
        assert room.drivers["right"].statistics().refused == 1
        await room.leave()


# -- outputs


async def test_what_a_notification_asks_for_comes_after_the_outputs_before_it(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork[str]()
        node, events = Script(), []

        def notify(event: object) -> None:
            events.append((event, len(node.told)))
            if event == "first":
                driver.call(node.ask, (NOTIFY, "third"))

        driver = Driver(node, network.join("peer"), notify=notify)
        await nursery.start(driver.run)
        driver.call(node.ask, (NOTIFY, "first"), (NOTIFY, "second"))
        assert events == [("first", 2), ("second", 2), ("third", 3)]
        await driver.stop()


async def test_the_newest_alarm_replaces_the_one_before(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        node = await room.enter("left")
        room.ask("left", (WAKE, 50 * MS))
        room.ask("left", (WAKE, 20 * MS))
        await trio.sleep(0.1)
        assert node.all("timer") == [(20 * MS,)]
        room.ask("left", (WAKE, 150 * MS))
        room.ask("left", (WAKE, 200 * MS))
        await trio.sleep(0.2)
        assert node.all("timer") == [(20 * MS,), (200 * MS,)]
        room.ask("left", (WAKE, 400 * MS), (WAKE, NEVER))
        await trio.sleep(0.3)
        room.ask("left", (WAKE, now() - 1))
        await trio.sleep(0.1)
        assert node.all("timer") == [(20 * MS,), (200 * MS,), (600 * MS,)]
        await room.leave()


async def test_who_reads_too_slowly_is_hung_up_on(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        left = await room.enter("left")
        slow = room.network.join("slow")  # nobody reads
        room.drivers["left"].dial("slow")
        connection = await slow.accept()
        await trio.sleep(0.1)
        flood: list[Output[str]] = [(SEND, "slow", SYNC, 1, Summary((number,) * 1000)) for number in range(30)]
        room.ask("left", *flood)
        assert left.kinds() == ["start", "up", "ask", "down"]
        counts = room.drivers["left"].statistics()
        assert (counts.overrun, counts.sent + counts.unsent) == (1, 29)
        await trio.sleep(0.1)
        assert room.drivers["left"].peers == []
        connection.close()
        await room.leave()


# -- endings


async def test_a_driver_that_stops_lets_out_what_is_on_its_way(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        left, right = await room.pair()
        farewell: list[Output[str]] = [(SEND, "right", SYNC, 1, Summary((number,) * 1000)) for number in range(10)]
        room.ask("left", *farewell)
        await room.drivers["left"].stop()
        assert len(right.all("receive")) == 10
        await trio.sleep(1)
        assert right.kinds()[-1] == "down"
        room.ask("left", (NOTIFY, "too late"))
        room.drivers["left"].dial("right")
        assert left.kinds() == ["start", "up", "ask"]
        assert room.events == []
        await room.leave()


async def test_a_driver_waits_no_longer_than_its_patience(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        await room.enter("left")
        slow = room.network.join("slow")
        room.drivers["left"].dial("slow")
        await slow.accept()
        await trio.sleep(0.1)
        room.ask("left", (SEND, "slow", LINK, 0, Frame((), 1)))
        began = now()
        await room.drivers["left"].stop(patience=2)
        assert now() == began + 2 * SECOND
        await room.drivers["left"].stop()  # again: nothing


async def test_a_cancelled_driver_ends_its_connections(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        right = await room.enter("right")
        driver = Driver(Script(start=[(DIAL, "right"), (DIAL, "nobody")]), room.network.join("left"))
        with trio.move_on_after(1):
            await driver.run()
        await trio.sleep(1)
        assert right.kinds() == ["start", "up", "down"]
        assert repr(driver) == "<Driver of 'left', stopping, 0 connections>"
        with pytest.raises(RuntimeError, match="once"):
            await driver.run()
        await room.leave()


async def test_an_error_of_a_call_goes_to_the_caller_and_the_driver_goes_on(autojump_clock: MockClock) -> None:
    def fail(now: int) -> Wanted:
        raise ValueError("not this way")

    async with trio.open_nursery() as nursery:
        room = Room(nursery)
        node = await room.enter("left")
        with pytest.raises(ValueError, match="not this way"):
            room.drivers["left"].call(fail)
        room.ask("left", (WAKE, 5 * MS))
        await trio.sleep(1)
        assert node.kinds() == ["start", "ask", "timer"]
        await room.leave()


async def test_a_fault_of_the_node_ends_its_driver(autojump_clock: MockClock) -> None:
    class Faulty(Script):
        def timer(self, now: int) -> Wanted:
            raise LookupError("a bug")

    network = MemoryNetwork[str]()
    driver = Driver(Faulty(start=[(WAKE, 5 * MS)]), network.join("peer"))
    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="a bug")):
        await driver.run()


async def test_a_driver_that_never_ran_can_be_stopped() -> None:
    driver = Driver(Script(), MemoryNetwork[str]().join("peer"))
    await driver.stop()


# -- with the core


async def test_two_cores_tell_each_other_of_their_machines(autojump_clock: MockClock, seed: int) -> None:
    network = MemoryNetwork[str](delays=Steady(MS))
    cores, drivers, machines = {}, {}, {}
    async with trio.open_nursery() as nursery:
        for name in ("anna", "bert"):
            host = Host(random=stream(seed, name), wall=lambda: 1_700_000_000_000 + now() // 1000, disk=Disk())
            cores[name] = Core[str](host, Identity(name.encode() * 8), Domain("driver"))
            drivers[name] = Driver(cores[name], network.join(name))
            machines[name] = Machine(Schema({"Ready": State()}), id=f"machine of {name}")
            await nursery.start(drivers[name].run)
            drivers[name].call(cores[name].expose, machines[name])
        drivers["anna"].dial("bert")
        await trio.sleep(1)
        machines["anna"].add("Ready")
        drivers["anna"].call(cores["anna"].changed)
        await trio.sleep(1)
        replica = cores["bert"].replica(cores["anna"].identity.owner, "machine of anna")
        assert replica is not None
        assert replica.is_active("Ready")
        for driver in drivers.values():
            await driver.stop()
