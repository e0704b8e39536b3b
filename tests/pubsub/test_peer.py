"""A peer as a program uses it, on the network in memory: machines are shared, found, waited for, and gone again."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from machine import Machine, Schema, State
from pubsub.boundary import Message
from pubsub.codec import ConnectionCodec
from pubsub.errors import ExposeError, IdentityError, PullError
from pubsub.events import Linked, Published, Unlinked
from pubsub.identity import Domain, Identity
from pubsub.members import Status
from pubsub.messages import Place, PulledRow
from pubsub.names import owner_of, peer_id_of
from pubsub.opening import open_peer
from pubsub.peer import Listener, Peer
from pubsub.transport import Connection, MemoryNetwork, MemoryTransport, Steady, TransportError
from pubsub.transport.contract import Judge
from tests.pubsub.transports import seeded

DOOR = Schema({"Open": State(), "Locked": State(remove=("Open",))})


class Addressed:
    """A transport in memory that finds peers by addresses, as that of libp2p does."""

    def __init__(self, inner: MemoryTransport[bytes]) -> None:
        self.inner = inner
        self.peer = inner.peer

    @property
    def addresses(self) -> list[str]:
        return [f"/memory/{self.peer.hex()}"]

    def learn(self, address: str) -> bytes:
        _, scheme, key = address.split("/")
        if scheme != "memory":
            raise TransportError(f"{address!r} is no address in memory")
        return bytes.fromhex(key)

    async def dial(self, peer: bytes) -> Connection[bytes]:
        return await self.inner.dial(peer)

    async def accept(self) -> Connection[bytes]:
        return await self.inner.accept()

    def subscribe(self, judge: Judge[bytes]) -> None:
        self.inner.subscribe(judge)

    def publish(self, message: Message) -> None:
        self.inner.publish(message)


class Town:
    """Peers in one network."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork[bytes](delays=Steady(10_000), codec=ConnectionCodec)
        self.nursery = nursery
        self.ends: dict[bytes, trio.Event] = {}

    @asynccontextmanager
    async def transport(self, identity: Identity, domain: Domain) -> AsyncIterator[Addressed]:
        transport = self.network.join(identity.owner)
        try:
            yield Addressed(transport)
        finally:
            self.network.crash(identity.owner)

    def peer(self, *to: Peer, **options: Any) -> Any:
        connect = [address for other in to for address in other.addresses]
        return open_peer("test", connect=connect, transport=self.transport, **{**seeded(), **options})

    async def open(self, *to: Peer, **options: Any) -> Peer:
        peer: Peer = await self.nursery.start(self._hold, to, options)
        return peer

    async def _hold(self, to: Sequence[Peer], options: dict[str, Any], task_status: Any) -> None:
        async with self.peer(*to, **options) as peer:
            self.ends[peer.owner] = trio.Event()
            task_status.started(peer)
            await self.ends[peer.owner].wait()

    def close(self, peer: Peer) -> None:
        self.ends[peer.owner].set()


@pytest.fixture
def town(nursery: trio.Nursery) -> Town:
    return Town(nursery)


def door(name: str, **more: Any) -> Machine:
    return Machine(DOOR, id=name, **more)


async def test_a_machine_of_one_peer_is_read_and_waited_for_by_another(town: Town, autojump_clock: MockClock) -> None:
    left = await town.open()
    right = await town.open(left)
    front = door("front", tags=("wood",))
    front.add("Open")
    left.expose(front)
    replica = await right.replica("front")
    assert replica.is_active("Open")
    assert replica.owner == left.owner
    assert replica.tags == ("wood",)
    front.add("Locked")
    await replica.when("Locked")
    assert not replica.is_active("Open")
    assert right.staleness(replica) < 1


async def test_a_new_schema_is_told_though_no_clock_has_changed(town: Town, autojump_clock: MockClock) -> None:
    left = await town.open()
    right = await town.open(left)
    front = door("front")
    left.expose(front)
    await right.replica("front")
    front.set_schema(Schema({**DOOR, "Painted": State()}))
    await trio.sleep(1)
    (replica,) = right.replicas(id="front")
    assert replica.state_names == front.state_names
    assert "Painted" in replica.state_names


async def test_links_that_come_and_go_are_told(town: Town, autojump_clock: MockClock) -> None:
    told: list[object] = []
    left = await town.open()
    left.listen(lambda event: told.append(event) if isinstance(event, Linked | Unlinked) else None)
    right = await town.open(left)
    await trio.sleep(1)
    assert told == [Linked(right.owner, dialed=False)]
    town.close(right)
    await trio.sleep(60)
    assert told == [Linked(right.owner, dialed=False), Unlinked(right.owner)]


async def test_who_waits_for_a_machine_gets_it_when_it_is_exposed(town: Town, autojump_clock: MockClock) -> None:
    left = await town.open()
    right = await town.open(left)
    got: list[str] = []

    async def wait() -> None:
        got.append((await right.replica("late", owner=left.id)).id)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(5)
        assert got == []
        left.expose(door("late"))
    assert got == ["late"]


async def test_replicas_are_found_by_id_tag_owner_and_state(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open()
    two = await town.open(one)
    three = await town.open(one)
    for peer, name, tag in ((one, "a", "red"), (one, "b", "blue"), (two, "a", "blue")):
        machine = door(name, tags=(tag,))
        peer.expose(machine)
        if tag == "blue":
            machine.add("Open")
    await trio.sleep(3)
    assert sorted(r.id for r in three.replicas()) == ["a", "a", "b"]
    assert [r.owner for r in three.replicas(id="a", owner=two.id)] == [two.owner]
    assert sorted((r.id, r.owner == one.owner) for r in three.replicas(tag="blue")) == [("a", False), ("b", True)]
    assert sorted(r.id for r in three.replicas(state="Open")) == ["a", "b"]
    assert [r.id for r in three.replicas(owner=one.owner, state="Open")] == ["b"]
    assert three.replicas(id="nothing") == []


async def test_what_is_not_exposed_any_more_is_gone_everywhere(town: Town, autojump_clock: MockClock) -> None:
    left = await town.open()
    right = await town.open(left)
    machine = door("front")
    left.expose(machine)
    replica = await right.replica("front")
    left.unexpose(machine)
    await trio.sleep(1)
    assert replica.is_gone
    assert right.replicas() == []
    with pytest.raises(ExposeError, match="front is not exposed"):
        left.unexpose(machine)


async def test_a_machine_that_is_disposed_is_gone_too(town: Town, autojump_clock: MockClock) -> None:
    left = await town.open()
    right = await town.open(left)
    machine = door("front")
    left.expose(machine)
    replica = await right.replica("front")
    machine.dispose()
    await trio.sleep(1)
    assert replica.is_gone


async def test_nothing_is_kept_of_machines_that_were_disposed_of(town: Town, autojump_clock: MockClock) -> None:
    peer = await town.open()
    doors = [door(f"door{number}") for number in range(20)]
    for machine in doors:
        peer.expose(machine)
        machine.dispose()
        await trio.sleep(1)
    assert peer._bells == {}
    assert len(peer._core.exposing._watchers) == len(peer._core.publisher.exposures) == 1  # where it is
    with pytest.raises(ExposeError, match="not exposed"):
        peer.unexpose(doors[-1])


async def test_peers_find_each_other_through_the_one_that_they_know(town: Town, autojump_clock: MockClock) -> None:
    first = await town.open()
    others = [await town.open(first) for _ in range(9)]
    await trio.sleep(15)
    for peer in (first, *others):
        assert len(peer.members()) == 10
        assert sum(member.connected for member in peer.members()) >= 4
        assert {member.status for member in peer.members()} == {Status.ALIVE}


async def test_the_one_whom_all_begin_with_is_not_left_with_a_connection_to_each(
    town: Town, autojump_clock: MockClock
) -> None:
    first = await town.open()
    others = [await town.open(first) for _ in range(24)]
    await trio.sleep(1)
    assert sum(member.connected for member in first.members()) > 20
    with trio.fail_after(600):
        links = [24]
        while max(links) > 12:
            await trio.sleep(5)
            links = [sum(member.connected for member in peer.members()) for peer in (first, *others)]
    assert min(links) >= 4
    for peer in (first, *others):
        assert {member.status for member in peer.members()} == {Status.ALIVE}
    machine = door("front")
    first.expose(machine)
    for peer in others:
        await peer.replica("front")


async def test_who_leaves_has_left_and_who_is_killed_is_dead(town: Town, autojump_clock: MockClock) -> None:
    first = await town.open()
    leaving, dying = await town.open(first), await town.open(first)
    await trio.sleep(3)
    await leaving.leave()
    town.close(dying)
    await trio.sleep(1)
    assert _status(first, leaving) is Status.LEFT
    await trio.sleep(60)
    assert _status(first, dying) is Status.DEAD
    assert _status(first, leaving) is Status.LEFT


def _status(peer: Peer, other: Peer) -> Status:
    return next(member.status for member in peer.members() if member.owner == other.owner)


async def test_a_peer_returns_with_its_key_in_its_next_epoch(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    first = await town.open()
    epochs, names = [], []
    for _ in range(2):
        async with town.peer(first, key_file=tmp_path / "key") as peer:
            peer.expose(door("front"))
            await first.replica("front", owner=peer.id)
            await trio.sleep(2)
            epochs.append(first.replicas(id="front")[0].epoch)
            names.append(peer.id)
        await trio.sleep(2)
    assert names[0] == names[1]
    assert epochs[1] > epochs[0]


async def test_strangers_are_not_listened_to_where_owners_are_listed(town: Town, autojump_clock: MockClock) -> None:
    friend = Identity(b"f" * 32)
    closed = await town.open(allow=[peer_id_of(friend.owner)])
    stranger = await town.open(closed)
    stranger.expose(door("front"))
    await trio.sleep(5)
    assert closed.replicas() == []
    assert closed.statistics()["records"]["not allowed"] > 0


async def test_without_the_key_of_a_topic_nothing_is_believed(town: Town, autojump_clock: MockClock) -> None:
    right = await town.open(topic_key=b"secret")
    wrong = await town.open(right, topic_key=b"guess")
    wrong.expose(door("front"))
    await trio.sleep(5)
    assert right.replicas() == []
    assert right.statistics()["records"]["bad signature"] > 0


async def test_what_cannot_be_exposed_is_refused_and_nothing_is_exposed(town: Town, autojump_clock: MockClock) -> None:
    peer = await town.open()
    machine = door("x" * 300)
    with pytest.raises(ExposeError, match="300 bytes"):
        peer.expose(machine)
    with pytest.raises(ExposeError, match="is not exposed"):
        peer.unexpose(machine)
    with pytest.raises(ExposeError, match="where it is"):
        peer.expose(door("@peer"))


async def test_listeners_are_told_each_event_in_order_for_as_long_as_they_listen(
    town: Town, autojump_clock: MockClock
) -> None:
    told: list[tuple[str, object]] = []

    def listener(name: str) -> Listener:
        return lambda event: told.append((name, event))

    second, third = listener("second"), listener("third")
    left = await town.open()
    right = await town.open(left, notify=listener("first"))
    right.listen(second)
    right.listen(third)
    await trio.sleep(2)
    events = [event for name, event in told if name == "second"]
    assert events
    late = told[-3 * len(events) :]  # `notify` has heard of the start, too
    assert late == [(name, event) for event in events for name in ("first", "second", "third")]
    right.unlisten(second)
    told.clear()
    left.expose(door("front"))
    await right.replica("front")
    assert {name for name, _ in told} == {"first", "third"}
    with pytest.raises(ValueError, match="does not listen"):
        right.unlisten(second)


async def test_a_listener_may_listen_and_end_it_within_an_event(town: Town, autojump_clock: MockClock) -> None:
    told: list[object] = []

    def once(event: object) -> None:
        left.unlisten(once)
        left.listen(told.append)

    left = await town.open()
    left.listen(once)
    right = await town.open(left)
    for name in ("front", "back"):
        right.expose(door(name))
        await left.replica(name)
    assert len(told) > 1
    with pytest.raises(ValueError, match="does not listen"):
        left.unlisten(once)


async def test_a_listener_exposes_machines_and_hears_of_what_is_refused(
    town: Town, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[object] = []
    good, bad, short = door("good"), door("x" * 300), door("short")

    def expose_all(event: object) -> None:
        told.append(event)
        if isinstance(event, Published) and good not in exposed:
            exposed.append(good)
            left.expose(bad)  # neither is refused here, where nobody could tell whose fault it is
            left.unexpose(bad)
            left.expose(short)
            left.unexpose(short)
            left.expose(good)

    exposed: list[Machine] = []
    left = await town.open()
    right = await town.open(left)
    left.listen(expose_all)
    left.expose(door("first"))
    replica = await right.replica("good")
    refused = [event for event in told if isinstance(event, ExposeError)]
    assert [("300 bytes" in str(error), "not exposed" in str(error)) for error in refused] == [
        (True, False),
        (False, True),
    ]
    assert sum("cannot publish" in record.message for record in caplog.records) == 2
    good.add("Open")
    await replica.when("Open")
    assert not bad.tracers
    assert not short.tracers
    assert sorted(r.id for r in right.replicas()) == ["first", "good"]


async def test_machines_that_outlive_their_peer_do_not_ring_any_more(town: Town, autojump_clock: MockClock) -> None:
    machine = door("front")
    async with town.peer() as peer:
        peer.expose(machine)
        assert [tracer.id for tracer in machine.tracers] == ["pubsub", "pubsub bell"]
    assert "pubsub bell" not in [tracer.id for tracer in machine.tracers]
    machine.add("Open")


class Rows:
    """A log of numbered rows."""

    def __init__(self, count: int) -> None:
        self.kept: list[PulledRow] = [(1, seq, b"row %d" % seq) for seq in range(1, count + 1)]

    async def rows(
        self, machine: str, after: Place, until: Place | None, limit: int
    ) -> tuple[Sequence[PulledRow], bool]:
        await trio.lowlevel.checkpoint()
        if machine != "front":
            raise LookupError(machine)
        rows = [row for row in self.kept if after < row[:2] <= (until or (9, 0))]
        return rows[:limit], len(rows) <= limit


async def test_the_log_of_a_machine_is_pulled_from_its_owner(town: Town, autojump_clock: MockClock) -> None:
    log = Rows(1000)
    left = await town.open(log=log)
    right = await town.open(left)
    await trio.sleep(2)
    rows = [row async for page in right.log(left.id, "front") for row in page.rows]
    assert rows == log.kept
    rows = [row async for page in right.log(left.id, "front", after=(1, 990), until=(1, 995)) for row in page.rows]
    assert rows == log.kept[990:995]
    with pytest.raises(PullError, match="none kept"):
        [page async for page in right.log(left.id, "back")]
    with pytest.raises(PullError, match="none kept"):
        [page async for page in left.log(right.id, "front")]
    with pytest.raises(PullError, match="not connected"):
        [page async for page in right.log(Identity(b"n" * 32).owner, "front")]


async def test_a_log_is_pulled_from_an_owner_that_is_no_neighbour_yet(town: Town, autojump_clock: MockClock) -> None:
    log = Rows(10)
    far = await town.open(log=log)
    middle = await town.open(far)
    near = await town.open(middle)
    with trio.fail_after(30):
        await near.replica("@peer", owner=far.id)
    for _ in range(2):  # the second time they are neighbours
        assert [row async for page in near.log(far.id, "front") for row in page.rows] == log.kept


async def test_every_counter_is_a_number_under_a_name(town: Town, autojump_clock: MockClock) -> None:
    left = await town.open()
    right = await town.open(left)
    left.expose(door("front"))
    await right.replica("front")
    counters = right.statistics()
    assert counters["records"]["committed"] > 0
    assert counters["links"]["links"] == 1
    assert counters["addresses"]["known"] == 1
    assert all(isinstance(value, int) for part in counters.values() for value in part.values())


async def test_a_first_peer_that_is_down_is_said_once_and_tried_until_it_is_there(
    town: Town, autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with town.peer(key_file=tmp_path / "key") as gone:
        pass
    peer = await town.open(gone)
    await trio.sleep(100)
    said = [record.message for record in caplog.records if "does not answer" in record.message]
    assert len(said) == 1
    assert gone.id in said[0]
    back = await town.open(key_file=tmp_path / "key")
    back.expose(door("front"))
    with trio.fail_after(150):
        await peer.replica("front")


# -- the key file


async def test_a_key_file_is_made_once_and_only_for_its_owner(
    town: Town, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "folder" / "key"
    names = []
    for _ in range(2):
        async with town.peer(key_file=path) as peer:
            names.append(peer.id)
    assert names[0] == names[1]
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(IdentityError, match="chmod 600"):
        async with town.peer(key_file=path):
            pass


async def test_a_key_is_used_by_one_peer_at_a_time(town: Town, autojump_clock: MockClock, tmp_path: Path) -> None:
    path = tmp_path / "key"
    async with town.peer(key_file=path):
        with pytest.raises(IdentityError, match=f"in use by process {os.getpid()}"):
            async with town.peer(key_file=path):
                pass


@pytest.mark.parametrize("content", ["", "zz" * 32, "ab" * 31])
async def test_a_file_without_a_key_is_refused(
    town: Town, autojump_clock: MockClock, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(IdentityError, match="64 hexadecimal digits"):
        async with town.peer(key_file=path):
            pass


def test_peer_ids_are_those_of_libp2p() -> None:
    owner = Identity(bytes(32)).owner
    assert peer_id_of(owner) == "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    assert owner_of(peer_id_of(owner)) == owner
    for wrong in ("", "12D3KooW", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "0OIl"):
        with pytest.raises(IdentityError, match="no peer id"):
            owner_of(wrong)
    with pytest.raises(IdentityError, match="this one has 3"):
        owner_of(b"abc")
