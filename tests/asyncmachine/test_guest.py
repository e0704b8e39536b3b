"""Guests on a network in memory, in virtual time: what they find, follow and wait for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from asyncmachine.config import PeerConfig, Settings
from asyncmachine.errors import ConfigError
from asyncmachine.join import Guest, NobodyError, join, own_addresses
from asyncmachine.peer_cli import members_of
from asyncmachine.service import LOOK, STRANGERS, hint
from asyncmachine.watch_cli import MOST, Watch
from asyncmachine.when_cli import Wanted
from machine import Machine, Schema, State
from pubsub.codec import ConnectionCodec
from pubsub.identity import Domain, Identity
from pubsub.keys import read_identity
from pubsub.names import peer_id_of
from pubsub.opening import open_peer
from pubsub.peer import Peer
from pubsub.transport import MemoryNetwork, Steady
from tests.pubsub.test_peer import Addressed
from tests.pubsub.transports import seeded

DOOR = Schema({"Open": State(remove="Closed"), "Closed": State(remove="Open"), "Locked": State()})


class Town:
    """Peers and guests of one topic in memory."""

    def __init__(self) -> None:
        self.network = MemoryNetwork[bytes](delays=Steady(10_000), codec=ConnectionCodec)

    @asynccontextmanager
    async def transport(self, identity: Identity, domain: Domain) -> AsyncIterator[Addressed]:
        transport = self.network.join(identity.owner)
        try:
            yield Addressed(transport)
        finally:
            self.network.crash(identity.owner)

    def peer(self, *to: Peer, **options: Any) -> Any:
        connect = [address for other in to for address in other.addresses]
        return open_peer("town", connect=connect, transport=self.transport, **{**seeded(), **options})

    def guest(self, *to: Peer) -> Any:
        connect = [address for other in to for address in other.addresses]
        return join(settings(connect=connect), transport=self.transport)


def settings(**values: Any) -> Settings:
    return Settings(PeerConfig(topic="town", **values), None, {}, Path.cwd())


def door(id: str = "door") -> Machine:
    machine = Machine(DOOR, id=id, tags=["hall"])
    machine.add("Closed")
    return machine


@pytest.fixture
async def town() -> Town:
    return Town()


async def test_a_guest_finds_everything_through_one_peer_and_is_no_member(
    town: Town, autojump_clock: MockClock
) -> None:
    async with town.peer() as one, town.peer(one) as two:
        one.expose(door("front"))
        two.expose(door("back"))
        await one.replica("back")
        async with town.guest(one) as guest:
            assert await guest.settled(10)
            found = members_of(guest, everyone=True)
            assert sorted((m.id, [r.id for r in machines]) for m, machines in found) == sorted(
                [(one.id, ["front"]), (two.id, ["back"])]
            )
            assert [member.owner for member in one.members()] == [m.owner for m, _ in found]
        await trio.sleep(300)  # much longer than it takes to be held for dead
        assert {member.owner for member in one.members()} == {one.owner, two.owner}


async def test_a_guest_that_finds_nobody_says_why_that_may_be(town: Town, autojump_clock: MockClock) -> None:
    async with town.peer() as one:
        address = one.addresses[0]
    began = trio.current_time()
    async with join(settings(connect=[address]), transport=town.transport) as guest:
        with pytest.raises(NobodyError, match=f"within 4 s at {address}: is it there, with this topic"):
            await guest.settled(4)
        assert trio.current_time() - began == pytest.approx(4)
    async with join(settings(connect=[address], allow=["x"]), transport=town.transport) as guest:
        assert "the topic is closed (allow), so give --key FILE" in guest.nobody(4)


async def test_a_guest_needs_somebody_to_begin_with() -> None:
    with pytest.raises(ConfigError, match="nobody to begin with"):
        async with join(settings()):
            raise AssertionError


def test_a_configuration_tells_where_its_peer_is(tmp_path: Path) -> None:
    id = peer_id_of(read_identity(tmp_path / "a.key").owner)
    listen = ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001", "/ip4/192.0.2.7/tcp/4002", "/ip4/127.0.0.1/tcp/0"]
    config = PeerConfig(topic="town", key=str(tmp_path / "a.key"), listen=listen)
    assert own_addresses(Settings(config, None, {"key": "peer.toml, line 2: key"}, tmp_path)) == [
        f"/ip4/127.0.0.1/tcp/4001/p2p/{id}",
        f"/ip6/::1/tcp/4001/p2p/{id}",
        f"/ip4/192.0.2.7/tcp/4002/p2p/{id}",
    ]
    assert own_addresses(Settings(config, None, {"key": "--key"}, tmp_path)) == []  # that of the guest


@asynccontextmanager
async def watching(guest: Guest, watch: Watch) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.follow, guest)
        yield
        nursery.cancel_scope.cancel()


async def events(watch: Watch) -> list[tuple[Any, ...]]:
    """Return what is shown until nothing is for a while."""
    shown: list[tuple[Any, ...]] = []
    with trio.move_on_after(2):
        while True:
            for line in map(json.loads, await watch.take()):
                states = (line["added"], line["removed"], line["passed"])
                shown.append((line["machine"], line["event"], *map(tuple, states)))
    return shown


async def test_what_comes_and_goes_is_shown(town: Town, autojump_clock: MockClock) -> None:
    front, back = door("front"), door("back")
    async with town.peer() as one, town.guest(one) as guest:
        one.expose(front)
        watch = Watch("f*", "", None, as_json=True)
        async with watching(guest, watch):
            assert await events(watch) == [("front", "known", ("Closed",), (), ())]
            front.add("Open")
            assert await events(watch) == [("front", "changed", ("Open",), ("Closed",), ())]
            front.add("Closed")
            front.add("Locked")  # this is after the record about that, and so is what follows
            front.remove("Locked")
            assert await events(watch) == [
                ("front", "changed", ("Closed",), ("Open",), ()),
                ("front", "changed", (), (), ("Locked",)),
            ]
            one.expose(back)
            one.unexpose(front)
            assert await events(watch) == [("front", "gone", (), (), ())]


async def test_one_state_of_one_peer_can_be_followed(town: Town, autojump_clock: MockClock) -> None:
    ours, theirs = door(), door()
    async with town.peer() as one, town.peer(one) as two, town.guest(one) as guest:
        one.expose(ours)
        two.expose(theirs)
        watch = Watch("*", "Locked", one.id[-6:], as_json=True)
        async with watching(guest, watch):
            assert await events(watch) == [("door", "known", ("Closed",), (), ())]
            ours.add("Open")
            theirs.add("Locked")
            assert await events(watch) == []
            ours.add("Locked")
            assert await events(watch) == [("door", "changed", ("Locked",), (), ())]


async def test_another_life_of_a_machine_is_shown_as_one(town: Town, autojump_clock: MockClock, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(town.peer(key_file=tmp_path / "key"))
        machine = door()
        machine.add("Open")
        machine.add("Closed")
        one.expose(machine)
        guest = await stack.enter_async_context(town.guest(one))
        watch = Watch("door", "", None, as_json=True)
        await stack.enter_async_context(watching(guest, watch))
        assert [event for _, event, *_ in await events(watch)] == ["known"]
        await one.stop()
        town.network.crash(one.owner)
        (tmp_path / "key.lock").unlink()  # as if its process were gone
        again = await stack.enter_async_context(town.peer(key_file=tmp_path / "key"))
        again.expose(door())
        shown: list[tuple[Any, ...]] = []
        while not shown:
            shown = await events(watch)
        assert [(id, event) for id, event, *_ in shown] == [("door", "restarted")]


async def test_a_slow_reader_costs_lines_and_they_are_counted(town: Town, autojump_clock: MockClock) -> None:
    machine = door()
    async with town.peer() as one, town.guest(one) as guest:
        one.expose(machine)
        replica = await guest.peer.replica("door")
        watch = Watch("*", "", None, as_json=False)
        for _ in range(MOST + 7):
            watch.put(replica, "known", ())
        assert len(await watch.take()) == MOST
        assert watch.dropped == 7


async def test_a_name_that_commands_the_terminal_does_not(town: Town, autojump_clock: MockClock) -> None:
    machine = door("\x1b[2Jdoor\n")
    async with town.peer() as one, town.guest(one) as guest:
        one.expose(machine)
        replica = await guest.peer.replica(machine.id)
        watch = Watch("*", "", None, as_json=False)
        watch.put(replica, "known", ())
        (line,) = await watch.take()
        assert line.isprintable()


async def test_waiting_ends_on_whichever_machine_of_that_name_it_comes(town: Town, autojump_clock: MockClock) -> None:
    ours, theirs = door(), door()
    async with town.peer() as one, town.peer(one) as two, town.guest(one) as guest, trio.open_nursery() as nursery:
        one.expose(ours)
        two.expose(theirs)
        wanted = Wanted("door", ("Open", "Locked"), False, None)
        nursery.start_soon(wanted.first, guest)
        await trio.sleep(5)
        ours.add("Open")
        theirs.add("Locked")
        await trio.sleep(5)
        before = wanted.came
        theirs.add("Open")
        await trio.sleep(5)
        assert before is None
        assert wanted.came is not None
        assert wanted.came.owner == two.owner


async def test_waiting_goes_on_when_the_machine_was_gone_and_is_back(town: Town, autojump_clock: MockClock) -> None:
    first, second = door(), door()
    async with town.peer() as one, town.guest(one) as guest, trio.open_nursery() as nursery:
        one.expose(first)
        wanted = Wanted("door", ("Open",), False, None)
        nursery.start_soon(wanted.first, guest)
        await trio.sleep(5)
        one.unexpose(first)
        await trio.sleep(5)
        one.expose(second)
        await trio.sleep(5)
        before = wanted.came
        second.add("Open")
        await trio.sleep(5)
        assert before is None
        assert wanted.came is not None


async def test_waiting_for_nothing_ends_at_once(town: Town, autojump_clock: MockClock) -> None:
    async with town.peer() as one, town.guest(one) as guest:
        one.expose(door())
        wanted = Wanted("door", ("Open", "Locked"), True, one.id)
        with trio.fail_after(10):
            await wanted.first(guest)
        assert wanted.came is not None


async def test_when_it_does_not_come_it_is_said_how_things_are(town: Town, autojump_clock: MockClock) -> None:
    async with town.peer() as one, town.guest(one) as guest:
        assert "no peer of the topic 'town' was found within 3 s" in Wanted("x", ("Y",), False, None).told_late(
            guest, 3
        )
        one.expose(door())
        assert await guest.settled(10)
        await trio.sleep(2)
        told = {
            Wanted(
                "door", ("Open", "Locked"), False, None
            ): "after 3 s: door has not become Open Locked, it is (Closed:1)",
            Wanted("door", ("Closed",), True, None): "after 3 s: door has not left Closed, it is (Closed:1)",
            Wanted(
                "gate", ("Open",), False, "me"
            ): "after 3 s: no machine 'gate' of me is known; am peer list shows those that are",
        }
        assert {wanted: wanted.told_late(guest, 3) for wanted in told} == told


class Counted:
    """A peer of which only the counters are looked at."""

    def __init__(self, links: int, **transport: int) -> None:
        self.links = links
        self.transport = transport

    def statistics(self) -> dict[str, dict[str, int]]:
        return {"links": {"links": self.links}, "transport": self.transport}


@pytest.mark.parametrize(
    ("counted", "told"),
    [
        (Counted(0), []),
        (Counted(0, strangers=STRANGERS - 1), []),
        (Counted(0, strangers=5), ["5 connections of strangers, and no other: does the topic, or its key, differ?"]),
        (Counted(2, strangers=5), ["5 connections of strangers: does the topic, or its key, differ?"]),
        (
            Counted(1, refused=3),
            ["3 connections of peers that are not allowed: is the list of those that are (allow) complete?"],
        ),
    ],
)
async def test_what_looks_wrong_is_said_once(counted: Any, told: list[str], autojump_clock: MockClock) -> None:
    said: list[str] = []
    with trio.move_on_after(10 * LOOK):
        await hint(counted, said.append)
    assert said == told
