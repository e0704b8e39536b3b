"""What nobody may do to a core: cheating neighbours, strangers that come and go, a wrong clock, a key in two places."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from machine import Machine, Schema, State, Tracer, Transition
from pubsub import Description, Domain, Header, Identity, IdentityError, MachineState, OwnerState, Proof
from pubsub.boundary import LINK, NEVER, NOTIFY, SEND, WAKE, Host
from pubsub.core import Core
from pubsub.epochs import FIRST, LONGEST, QUIET, Epochs
from pubsub.errors import ExposeError
from pubsub.events import KeyInUse
from pubsub.members import Status
from pubsub.messages import Frame, Parcel
from pubsub.record import MAX_EPOCH
from pubsub.state import root_of
from simulations.disk import Disk

DOMAIN = Domain("safety")
SECOND = 1_000_000
NOON = 1_800_000_000_000  # ms
HOUR = 3600 * SECOND
LAMP = Schema({"On": State(), "Off": State()})


def identity(peer: int) -> Identity:
    return Identity(peer.to_bytes(32, "big"))


def state_of(
    who: Identity,
    ticks: tuple[int, ...] = (1,),
    *,
    order: tuple[int, int] = (5, 1),
    schema: bytes = b"s" * 16,
    flags: int = 0,
) -> OwnerState:
    """Return a signed state of an owner with one machine, called lamp."""
    machines = [MachineState.build(0, Description("lamp"), schema, ticks)]
    header = Header(flags, who.owner, *order, NOON << 16, 60, root_of(machines))
    return OwnerState(header.sign(who, DOMAIN), {0: machines[0]})


class Net:
    """Cores by the number of their peer, messages without delay, and one clock."""

    def __init__(self) -> None:
        self.now = 0
        self.wall = NOON
        self.cores: dict[int, Core[int]] = {}
        self.events: dict[int, list[object]] = {}
        self._wake: dict[int, int] = {}
        self._mail: deque[tuple[int, int, int, int, Any]] = deque()

    def core(self, peer: int, *, key: int | None = None, disk: Disk | None = None, **options: Any) -> Core[int]:
        """Make a core that is not started yet."""
        host = Host(random=random.Random(peer), wall=lambda: self.wall + self.now // 1000, disk=disk or Disk())
        return Core(host, identity(key or peer), DOMAIN, owner_of=lambda p: identity(p).owner, **options)

    def add(self, peer: int, core: Core[int]) -> Core[int]:
        self.cores[peer] = core
        self._wake[peer] = NEVER
        self.events[peer] = []
        self.do(peer, core.start(self.now))
        return core

    def start(self, peer: int, *machines: Machine, **options: Any) -> Core[int]:
        """Start a new core with machines."""
        core = self.core(peer, **options)
        for machine in machines:
            core.expose(self.now, machine)
        return self.add(peer, core)

    def do(self, peer: int, outputs: Sequence[Any]) -> None:
        for out in outputs:
            if out[0] == SEND:
                self._mail.append((out[1], peer, *out[2:]))
            elif out[0] == WAKE:
                self._wake[peer] = out[1]
            elif out[0] == NOTIFY:
                self.events[peer].append(out[1])

    def link(self, one: int, other: int) -> None:
        self.do(one, self.cores[one].link_up(self.now, other, True))
        self.do(other, self.cores[other].link_up(self.now, one, False))

    def crash(self, peer: int) -> None:
        """End a core; its neighbours notice at once."""
        del self.cores[peer], self._wake[peer]
        for other, core in self.cores.items():
            if peer in core.links:
                self.do(other, core.link_down(self.now, peer))

    def run(self, seconds: float) -> None:
        end = self.now + round(seconds * SECOND)
        while True:
            while self._mail:
                to, *rest = self._mail.popleft()
                if to in self.cores:
                    self.do(to, self.cores[to].receive(self.now, *rest))
            peer = min(self._wake, key=self._wake.__getitem__)
            if self._wake[peer] > end:
                break
            self.now = max(self.now, self._wake[peer])
            self._wake[peer] = NEVER
            self.do(peer, self.cores[peer].timer(self.now))
        self.now = end

    def of(self, peer: int, kind: type) -> list[Any]:
        return [event for event in self.events[peer] if isinstance(event, kind)]


def lamp(name: str = "lamp") -> Machine:
    return Machine(LAMP, id=name)


def wins(one: OwnerState, other: OwnerState) -> bool:
    """Tell whether of two states of one version the first is kept."""
    proof = Proof.of(one.header, other.header)
    return proof is not None and proof.larger is one.header


def tell(net: Net, peer: int, neighbour: int, *states: OwnerState) -> None:
    """Give a core whole states in a frame of its neighbour."""
    frame = Frame(tuple(Parcel.of(state.record()) for state in states), 1 << 30)
    net.do(peer, net.cores[peer].receive(net.now, neighbour, LINK, 0, frame))


class Seen(Tracer):
    """Notes what a replica comes to."""

    id = "seen"

    def __init__(self) -> None:
        self.times: list[tuple[int, ...]] = []

    def transition_end(self, transition: Transition) -> None:
        self.times.append(tuple(transition.ticks_after))


# -- lives and epochs


def test_a_restart_without_machines_ends_what_others_have_of_the_life_before() -> None:
    net, disk = Net(), Disk()
    net.start(1, lamp(), disk=disk)
    ben = net.start(2)
    net.link(1, 2)
    net.run(5)
    owner = identity(1).owner
    assert len(ben.ledger.get(owner) or ()) == 1
    net.crash(1)
    net.run(60)
    anna = net.start(1, disk=disk)
    net.link(1, 2)
    net.run(60)
    state = ben.ledger.get(owner)
    assert state is not None
    assert state.header.epoch == anna.publisher.epoch
    assert len(state) == 0
    assert ben.membership.status_of(owner) is Status.ALIVE


def test_a_restart_without_machines_or_disk_ends_the_life_before_once_it_hears_of_it() -> None:
    net = Net()
    net.start(1, lamp())
    ben = net.start(2)
    net.link(1, 2)
    net.run(5)
    net.crash(1)
    net.run(60)
    anna = net.start(1)
    assert anna.publisher.state is None
    net.link(1, 2)
    net.run(60)
    state = ben.ledger.get(identity(1).owner)
    assert state is not None
    assert (state.header.epoch, len(state)) == (anna.publisher.epoch, 0)
    assert anna.counts.restarts == 0


def test_a_first_life_without_machines_says_nothing() -> None:
    assert Net().start(1).publisher.state is None


def test_a_clock_beyond_all_epochs_costs_no_key() -> None:
    net, disk = Net(), Disk()
    earlier = net.start(1, lamp(), disk=disk).publisher.epoch
    net.wall = (MAX_EPOCH + 1) * 1000
    assert net.start(1, lamp(), disk=disk).publisher.epoch == earlier + 1
    net.wall = NOON + 10_000
    assert net.start(1, lamp(), disk=disk).publisher.epoch == NOON // 1000 + 10
    assert Epochs(Disk(), lambda: 2**70).first() == (1, False)


def test_a_key_without_epochs_is_refused_and_nothing_is_written() -> None:
    net, disk = Net(), Disk()
    disk.write("epoch", MAX_EPOCH.to_bytes(8, "big"))
    for _ in range(2):
        with pytest.raises(IdentityError):
            net.start(1, lamp(), disk=disk)
    assert disk.read("epoch") == MAX_EPOCH.to_bytes(8, "big")


def test_an_epoch_on_the_disk_that_there_cannot_be_is_none() -> None:
    net, disk = Net(), Disk()
    disk.write("epoch", (MAX_EPOCH + 1).to_bytes(8, "big"))
    assert net.start(1, lamp(), disk=disk).publisher.epoch == NOON // 1000


def test_two_peers_with_one_key_begin_epochs_more_and_more_seldom_and_say_so() -> None:
    net = Net()
    net.start(1, lamp("x"))
    net.start(3, lamp("y"), key=1)
    net.start(2)
    net.link(1, 2)
    net.link(3, 2)
    net.run(600)
    for peer in (1, 3):
        restarts = net.cores[peer].counts.restarts
        assert 5 <= restarts <= 1 + 6 + 10  # at once; 1, 2, 4, … 32 s apart; then each minute
        assert len(net.of(peer, KeyInUse)) == restarts - 1


def test_epochs_are_put_off_and_the_pause_ends_after_quiet() -> None:
    epochs = Epochs(Disk(), lambda: 0)
    assert epochs.outlive(7, 0)
    assert epochs.begun(0)
    assert not epochs.outlive(9, FIRST // 2)
    assert not epochs.outlive(8, FIRST // 2)
    assert (epochs.due, epochs.above) == (FIRST, 9)
    assert not epochs.begun(FIRST)
    assert epochs.due == NEVER
    assert not epochs.outlive(10, FIRST + 1)
    assert epochs.due == 3 * FIRST
    now = FIRST
    for _ in range(9):
        now += LONGEST
        assert not epochs.begun(now)
    assert not epochs.outlive(11, now + 1)
    assert epochs.due == now + LONGEST
    assert epochs.begun(now + QUIET)


def test_goodbye_is_said_even_if_a_machine_cannot_be_published() -> None:
    net, machine = Net(), lamp()
    machine.add("On")
    anna, ben = net.start(1, machine, lamp("other")), net.start(2)
    net.link(1, 2)
    net.run(5)
    machine._time = tuple(0 for _ in machine.time())  # as if its clock had gone back
    anna.publisher.changed(anna.publisher.exposures[0])
    net.do(1, anna.leave(net.now))
    net.run(1)
    assert len(net.of(1, ExposeError)) == 1
    assert ben.membership.status_of(identity(1).owner) is Status.LEFT


# -- replicas


def test_a_replica_does_not_go_back_with_an_owner_that_signs_two_states() -> None:
    net = Net()
    core, ben = net.start(1), identity(2)
    net.do(1, core.link_up(0, 2, False))
    schema = core.catalog.own(LAMP)
    high = state_of(ben, (9,), schema=schema)
    low = next(s for t in range(1, 9) if wins(s := state_of(ben, (t,), schema=schema), high))
    tell(net, 1, 2, high)
    replica = core.replica(ben.owner, "lamp")
    assert replica is not None
    seen = Seen()
    replica.add_tracer(seen)
    tell(net, 1, 2, low)
    assert core.ledger.get(ben.owner) == low  # all peers come to this one
    assert (replica.time()[0], replica.version, replica.held) == (9, 1, 1)
    assert replica.staleness(net.now).is_ahead
    tell(net, 1, 2, state_of(ben, (8, 1), schema=schema, order=(5, 2)))
    assert (replica.time()[0], replica.version, replica.held) == (9, 1, 2)
    tell(net, 1, 2, state_of(ben, (9, 1), schema=schema, order=(5, 3)))
    assert (replica.time()[:2], replica.version, replica.held) == ((9, 1), 3, 2)
    assert not replica.staleness(net.now).is_ahead
    tell(net, 1, 2, state_of(ben, (1,), schema=schema, order=(6, 1)))
    assert (replica.time()[:2], replica.epoch) == ((1, 0), 6)  # the clock is (epoch, ticks)
    assert seen.times == [(9, 1, 0), (1, 0, 0)]
