"""Whom a peer connects with: as many as it needs. Of peers that somebody made up nothing is kept for long."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from pubsub import Domain, HybridClock, Identity, Publisher
from pubsub.boundary import Host
from pubsub.core import Core
from pubsub.driver import Driver
from pubsub.keys import NoDisk
from pubsub.members import Status
from pubsub.neighbours import (
    FEWEST,
    MAX_FOUND,
    MIN_SWEEP,
    PATIENCE,
    PAUSE,
    SELF,
    TARGET,
    Neighbours,
    addresses_in,
    make_self,
    whom_to_dial,
)
from pubsub.state import OwnerState
from pubsub.transport import MemoryNetwork, MemoryTransport, TransportError
from pubsub.transport.errors import DialError

ME = Identity(b"m" * 32)
DOMAIN = Domain("test")


class Addressed(MemoryTransport[bytes]):
    """Learns the addresses that a key in hexadecimal digits is."""

    @property
    def addresses(self) -> list[str]:
        return [ME.owner.hex()]

    def learn(self, address: str) -> bytes:
        try:
            return bytes.fromhex(address)
        except ValueError:
            raise TransportError(f"{address} is no address") from None


class Dials(Driver[bytes]):
    """Connects with nobody, and remembers with whom it was to."""

    def __init__(self, core: Core[bytes], transport: MemoryTransport[bytes]) -> None:
        super().__init__(core, transport)
        self.dialled: list[bytes] = []

    def dial(self, peer: bytes) -> None:
        self.dialled.append(peer)


class Place:
    """A peer, and the network as it has heard of it."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.core: Core[bytes] = Core(Host(random=rng, wall=lambda: 0, disk=NoDisk()), ME, DOMAIN)
        transport = Addressed(MemoryNetwork[bytes](), ME.owner)
        driver = Dials(self.core, transport)
        self.dialled = driver.dialled
        self.neighbours = Neighbours(self.core, driver, transport, rng)

    def hear_of(self, count: int) -> list[bytes]:
        """Let so many owners be known to the ledger, with where they are."""
        states = [published(Identity(b"%032d" % number)) for number in range(count)]
        for state in states:
            self.core.ledger.commit(state)
            self.neighbours.learn(state.owner, addresses_in(state))
        return [state.owner for state in states]

    def link(self, *owners: bytes) -> None:
        for owner in owners:
            self.core.link_up(0, owner, dialed_by_us=True)


def published(identity: Identity) -> OwnerState:
    publisher = Publisher(identity, DOMAIN, HybridClock(lambda: 0), 1)
    publisher.expose(make_self([identity.owner.hex()]))
    publisher.flush()
    assert publisher.state is not None
    return publisher.state


@pytest.fixture
def place(seed: int) -> Place:
    return Place(seed)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_the_addresses_of_a_peer_are_the_tags_of_a_machine() -> None:
    state = published(ME)
    assert addresses_in(state) == [ME.owner.hex()]
    assert [machine.description.id for machine in state.values()] == [SELF]
    assert not make_self([]).is_active("Listening")


def test_who_has_too_few_connections_dials_some_by_chance_and_others_dial_nobody(seed: int) -> None:
    rng = random.Random(seed)
    every = [key(number) for number in range(50)]
    assert whom_to_dial(FEWEST, every, rng) == []
    assert len(set(whom_to_dial(0, every, rng))) == TARGET
    assert len(whom_to_dial(FEWEST - 1, every, rng)) == TARGET - FEWEST + 1
    assert whom_to_dial(0, every[:2], rng) in (every[:2], every[1::-1])
    assert whom_to_dial(0, every, random.Random(1)) == whom_to_dial(0, every, random.Random(1))


async def test_peers_that_are_known_are_dialled_and_not_soon_again(
    place: Place, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    owners = place.hear_of(3)
    nursery.start_soon(place.neighbours.run)
    await trio.sleep(2)
    assert sorted(place.dialled) == sorted(owners)
    await trio.sleep(PAUSE - 2.5)
    assert len(place.dialled) == 3
    await trio.sleep(4)
    assert sorted(place.dialled) == sorted(2 * owners)


async def test_who_is_connected_or_not_alive_is_not_dialled(
    place: Place, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    owners = place.hear_of(3)
    place.link(owners[0])
    place.core.membership.accuse(owners[1], 0, 0)
    assert place.core.membership.status_of(owners[1]) is Status.SUSPECT
    nursery.start_soon(place.neighbours.run)
    await trio.sleep(3)
    assert place.dialled == [owners[2]]


async def test_of_a_crowd_on_the_local_network_some_are_dialled_at_once_and_the_others_one_by_one(
    place: Place, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    crowd = [key(number) for number in range(MAX_FOUND + TARGET + 5)]
    for owner in crowd:
        place.neighbours.found(owner, [owner.hex()])
    assert place.dialled == crowd[:TARGET]
    assert place.neighbours.mdns.crowded == 5
    nursery.start_soon(place.neighbours.run)
    await trio.sleep(20)
    assert 13 <= len(place.dialled) - TARGET <= 40
    assert len(set(place.dialled)) == len(place.dialled) == place.neighbours.mdns.dialled


def test_wrong_addresses_are_counted_and_not_kept(place: Place) -> None:
    assert not place.neighbours.learn(key(1), ["nonsense", key(2).hex()])
    assert not place.neighbours.learn(ME.owner, [ME.owner.hex()])
    assert (place.neighbours.misaddressed, place.neighbours.known) == (2, 0)


async def test_peers_that_somebody_made_up_are_forgotten_and_those_of_the_ledger_are_not(
    place: Place, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    owners = place.hear_of(50)
    place.link(*owners[:TARGET])
    nursery.start_soon(place.neighbours.run)
    for number in range(2 * MIN_SWEEP):
        place.neighbours.found(key(number), [key(number).hex()])
        await trio.sleep(1)
    assert len(place.dialled) > MIN_SWEEP
    assert place.neighbours.known <= MIN_SWEEP + 10
    assert len(place.neighbours._tried) <= 3 * PAUSE
    assert set(owners) <= set(place.neighbours._known)


async def test_a_peer_to_begin_with_that_does_not_answer_is_said_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.neighbours.dial_first([key(1)])
    assert place.dialled == [key(1)]
    for owner in (key(1), key(1), key(2)):
        place.neighbours.failed(owner, DialError("gone"))
    assert len(caplog.records) == 1


async def test_a_peer_to_begin_with_that_goes_later_was_found(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.neighbours.dial_first([key(1)])
    place.neighbours.reached(key(1))
    place.neighbours.failed(key(1), DialError("gone"))
    assert not caplog.records


async def test_who_is_to_be_met_is_dialled_and_waited_for_but_not_for_ever(
    place: Place, autojump_clock: MockClock
) -> None:
    (owner,) = place.hear_of(1)
    began = trio.current_time()
    await place.neighbours.meet(key(7))  # nobody knows where that is
    assert (place.dialled, trio.current_time()) == ([], began)
    await place.neighbours.meet(owner)
    assert place.dialled == [owner]
    assert trio.current_time() == pytest.approx(began + PATIENCE)
    place.link(owner)
    await place.neighbours.meet(owner)
    assert place.dialled == [owner]
