"""What nobody may do to a core: cheating neighbours, strangers that come and go, a wrong clock, a key in two places."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from machine import Machine, Schema, State, Tracer, Transition
from pubsub import Description, Domain, Header, Identity, IdentityError, MachineState, OwnerState, Proof
from pubsub.boundary import DIAL, HANG_UP, LINK, NEVER, NOTIFY, REFUSE, SECOND, SEND, WAKE, Host
from pubsub.core import Core
from pubsub.dialling import MAX_DIALS, MAX_GONE, Dialling
from pubsub.eager import MAX_PASSED, Eager
from pubsub.epochs import FIRST, LONGEST, QUIET, Epochs
from pubsub.errors import ExposeError
from pubsub.events import KeyInUse
from pubsub.members import Hearing, Status
from pubsub.membership import BURST, MAX_WAITING
from pubsub.messages import Announcement, Frame, Parcel
from pubsub.parameters import Parameters
from pubsub.record import MAX_EPOCH, Part, Record
from pubsub.state import root_of
from pubsub.suspicion import suspect
from simulations.disk import Disk

DOMAIN = Domain("safety")
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


# -- what neighbours and the topic say


def outputs(kind: int, result: Sequence[Any]) -> list[Any]:
    return [out for out in result if out[0] == kind]


def forged(state: OwnerState, version: int) -> Record:
    """Return a record that looks older or newer, and that nobody has signed."""
    return Record(replace(state.header, version=version, signature=bytes(64)), ())


def proof_against(who: Identity) -> Proof:
    proof = Proof.of(state_of(who, (1,)).header, state_of(who, (2,)).header)
    assert proof is not None
    return proof


def test_a_bad_proof_costs_the_neighbour_its_connection() -> None:
    net = Net()
    core = net.start(1)
    net.do(1, core.link_up(0, 2, False))
    tell(net, 1, 2, state_of(identity(3)))
    good = proof_against(identity(3))
    bad = [replace(good, larger=replace(good.larger, signature=bytes([n]) * 64)) for n in range(60)]
    result = core.receive(0, 2, LINK, 0, Frame((), 1 << 30, (), False, (*bad, good)))
    assert outputs(HANG_UP, result) == [(HANG_UP, 2)]
    assert core.counts.accused == 1
    assert core.counts.notices == 1  # nothing behind the first one was looked at
    assert core.acceptor.proofs == {}


def test_a_proof_that_cannot_be_judged_or_is_known_is_nobodys_fault() -> None:
    net = Net()
    core = net.start(1)
    net.do(1, core.link_up(0, 2, False))
    proof = proof_against(identity(3))
    bad = replace(proof, larger=replace(proof.larger, signature=bytes(64)))
    core.receive(0, 2, LINK, 0, Frame((), 1 << 30, (), False, (proof, bad)))  # of an owner that nobody knows
    assert core.acceptor.proofs == {}
    tell(net, 1, 2, state_of(identity(3)))
    core.receive(0, 2, LINK, 0, Frame((), 1 << 30, (), False, (proof, bad)))
    assert core.acceptor.proofs == {identity(3).owner: proof}
    assert core.counts.accused == 0


def test_the_topic_passes_on_only_what_was_verified() -> None:
    net = Net()
    core = net.start(1, parameters=Parameters(eager=True))
    ben = state_of(identity(3), order=(5, 7))

    def refused(message: Any) -> list[str]:
        return [out[1] for out in core.topic(net.now, 2, message) if out[0] == REFUSE]

    assert refused(Parcel.of(ben.record())) == []
    assert refused(Parcel.of(ben.record())) == []  # of the same header: it may not have come to all
    assert refused(Parcel.of(Record(ben.header, ()))) == ["duplicate"]  # but once is enough
    assert refused(Parcel.of(forged(ben, 7))) == ["duplicate"]
    assert refused(Parcel.of(forged(ben, 6))) == ["older"]
    assert refused(Parcel.of(state_of(identity(3)).record())) == ["older"]  # signed, but nobody needs it
    assert refused(Parcel.of(forged(ben, 8))) == ["bad signature"]
    assert core.eager.heard == 2  # the rest does not make the topic busy
    good = proof_against(identity(3))
    bad = replace(good, larger=replace(good.larger, signature=bytes(64)))
    assert refused(Announcement(proof_against(identity(4)))) == ["early"]
    assert refused(Announcement(bad)) == ["bad signature"]
    assert refused(Announcement(good)) == []
    assert refused(Announcement(bad)) == ["duplicate"]
    tell_of = suspect(identity(4), DOMAIN, identity(3).owner, (5, 7), 0)
    assert refused(Announcement(tell_of)) == ["early"]
    assert refused(Parcel.of(state_of(identity(4)).record())) == []
    assert refused(Announcement(tell_of)) == ["duplicate"]
    assert refused(Announcement(suspect(identity(4), DOMAIN, identity(3).owner, (5, 6), 0))) == ["refuted"]


def test_a_header_with_many_bodies_is_passed_on_once_and_the_right_one_too() -> None:
    net = Net()
    core = net.start(1, parameters=Parameters(eager=True))
    net.do(1, core.link_up(0, 2, False))
    ben = state_of(identity(3), (9,))
    gone = [Record(ben.header, (Part(n, gone=True),)) for n in range(20)]
    answers = [any(out[0] == REFUSE for out in core.topic(0, 2, Parcel.of(record))) for record in gone]
    assert answers == [False] + 19 * [True]
    assert outputs(REFUSE, core.topic(0, 2, Parcel.of(ben.record()))) == []
    assert core.ledger.get(identity(3).owner) == ben
    assert core.eager.heard == 2


def test_what_is_kept_of_headers_that_were_passed_on_is_bounded() -> None:
    eager = Eager()
    for n in range(MAX_PASSED + 1):
        assert eager.may_pass(n.to_bytes(8, "big"))
    assert not eager.may_pass(MAX_PASSED.to_bytes(8, "big"))
    assert eager.may_pass(bytes(8))
    assert len(eager._passed) == MAX_PASSED


def test_offers_of_the_forgotten_are_verified_and_do_not_silence_our_suspicions() -> None:
    net = Net()
    core = net.start(1)
    eva, ben = identity(9), identity(3)
    tell_late = [state_of(eva, order=(5, version)) for version in range(1, 100)]
    net.do(1, core.link_up(0, 2, False))
    tell(net, 1, 2, state_of(ben), state_of(eva, order=(5, 500)))
    core.ledger.forget(eva.owner, 10**12)
    for state in tell_late:  # honestly signed, but all in one moment
        net.do(1, core.receive(0, 2, LINK, 0, Frame((Parcel.of(state.record()),), 1 << 30)))
    assert core.membership.withheld == len(tell_late) - BURST
    assert core.membership.accuse(ben.owner, 0, 0) is not None
    result = core.receive(0, 2, LINK, 0, Frame((Parcel.of(forged(tell_late[0], 1)),), 1 << 30))
    assert outputs(HANG_UP, result) == [(HANG_UP, 2)]


def test_who_is_suspected_of_a_record_to_come_denies_it_then() -> None:
    net = Net()
    anna, ben = net.start(1, lamp()), net.start(2)
    liar = identity(3)
    for peer in (1, 2):
        net.do(peer, net.cores[peer].link_up(0, 3, False))
        tell(net, peer, 3, state_of(liar))
    net.link(1, 2)
    net.run(3)
    assert anna.publisher.state is not None
    epoch, version = anna.publisher.state.order
    lie = suspect(liar, DOMAIN, identity(1).owner, (epoch, version + 1), 0)
    for peer in (1, 2):
        net.do(peer, net.cores[peer].receive(net.now, 3, LINK, 0, Frame((), 1 << 30, (), False, (lie,))))
    anna.publisher.touch()
    net.do(1, anna.changed(net.now))
    net.run(0.5)
    assert ben.membership.status_of(identity(1).owner) is Status.SUSPECT
    net.run(1)
    assert ben.membership.status_of(identity(1).owner) is Status.ALIVE
    assert anna.publisher.state.order == (epoch, version + 2)
    net.run(3)
    assert anna.publisher.state.order == (epoch, version + 2)  # once is enough


def test_what_is_kept_of_records_to_come_is_bounded() -> None:
    net = Net()
    core = net.start(1, lamp())
    net.do(1, core.link_up(0, 3, False))
    assert core.publisher.state is not None
    epoch, version = core.publisher.state.order
    lies = [suspect(identity(3), DOMAIN, identity(1).owner, (epoch, version + n), 0) for n in range(60, 0, -1)]
    core.receive(0, 3, LINK, 0, Frame((), 1 << 30, (), False, tuple(lies)))
    assert core.membership.counts[Hearing.AHEAD] == 60
    assert core.membership._foretold == [(epoch, version + n) for n in range(1, MAX_WAITING + 1)]
    bad = replace(lies[0], signature=bytes(64))
    result = core.receive(0, 3, LINK, 0, Frame((), 1 << 30, (), False, (bad,)))
    assert outputs(HANG_UP, result) == [(HANG_UP, 3)]


# -- strangers that come and go


def test_only_so_many_strangers_are_remembered() -> None:
    net = Net()
    core = net.start(1)
    core.link_up(0, 7, True)
    core.link_down(0, 7)
    core.link_up(0, 8, False)
    for peer in range(10_000, 10_000 + MAX_GONE + 100):
        core.link_up(0, peer, False)
        core.link_down(0, peer)
    dialling = core.dialling
    assert dialling.evicted == 101
    assert len(dialling.known) == MAX_GONE + 1
    assert {7, 8} <= dialling.known.keys()  # who is connected, and whom we have dialled ourselves
    assert 10_100 not in dialling.known
    assert 10_101 in dialling.known
    assert core.links.keys() == core.links._streams.keys() == {8}
    core.repair.due = 3600 * SECOND  # which dials somebody by chance, too
    now = 10 * SECOND
    for _ in range(MAX_GONE // MAX_DIALS):
        result = core.timer(now)
        assert len(outputs(DIAL, result)) == MAX_DIALS
        assert outputs(DIAL, core.timer(now + SECOND // 2)) == []
        now += SECOND


def test_who_was_dialled_goes_last_and_the_longest_gone_first() -> None:
    dialling: Dialling[int] = Dialling(random.Random(1))
    for peer in range(MAX_GONE):
        dialling.linked(peer, dialed_by_us=True)
        assert dialling.lost(peer, 0) is None
    assert dialling.lost(-1, 0) == 0  # a dial that failed
    dialling.linked(-2, dialed_by_us=False)
    assert dialling.left(-2) == -2  # left by us
    dialling.linked(5, dialed_by_us=True)
    assert dialling.lost(5, 1) is None
    assert dialling.lost(-3, 1) == 1
    assert 5 in dialling.known
    dialling.forget(2)
    assert dialling.lost(-4, 1) is None


def test_two_owners_with_one_short_form_break_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("numbers", "ledger"):
        monkeypatch.setattr(f"pubsub.{module}.short_of", lambda owner: b"collides")
    net = Net()
    anna, ben = net.start(1), net.start(2)
    tell_both = [state_of(identity(peer)) for peer in (3, 4)]
    net.do(1, anna.link_up(0, 5, False))
    tell(net, 1, 5, *tell_both)
    net.run(1)
    anna.ledger.forget(identity(3).owner, 10**12)
    net.link(2, 1)
    net.run(60)
    assert anna.repair.counts.finished > 0
    assert ben.repair.counts.finished > 0
