"""Who is alive, suspect, dead or left: decided by who says what, and undone by the next record."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub import Domain, Identity
from pubsub.boundary import NEVER, SECOND
from pubsub.early import MAX_EARLY
from pubsub.hlc import stamp_of
from pubsub.ledger import Ledger
from pubsub.members import Hearing, MemberChanged, MemberForgotten, MemberHidden, Status
from pubsub.membership import BURST, FORGET_AFTER, MAX_CASES, MAX_RETOLD, MAX_WAITING, SLOW, Membership
from pubsub.record import BYE, Header
from pubsub.state import OwnerState, root_of
from pubsub.suspicion import Suspicion, suspect

DOMAIN = Domain("test")
PEOPLE = [Identity(bytes([n]) * 32) for n in range(1, 9)]
ME, TARGET, *WITNESSES = PEOPLE
STRANGER = Identity(b"s" * 32)
NOON = 1_700_000_000_000  # ms
ROOT = root_of(())
G = FORGET_AFTER


def state(identity: Identity, epoch: int = 1, version: int = 1, *, bye: bool = False, wall: int = NOON) -> OwnerState:
    header = Header(BYE if bye else 0, identity.owner, epoch, version, stamp_of(wall), 60, ROOT)
    return OwnerState(header.sign(identity, DOMAIN), {})


def said(
    witness: Identity, target: Identity = TARGET, order: tuple[int, int] = (1, 1), *, since: int = NOON // 1000
) -> Suspicion:
    return suspect(witness, DOMAIN, target.owner, order, since)


class Peer:
    """A membership with a ledger that knows everybody, and a wall clock that follows `now`."""

    def __init__(self, known: list[Identity] = PEOPLE, **options: Any) -> None:
        self.now = 0
        self.ledger = Ledger()
        self.membership = Membership(ME, DOMAIN, self.ledger, lambda: NOON + self.now // 1000, **options)
        for identity in known:
            self.publish(state(identity))

    def commit(self, new: OwnerState) -> None:
        is_new = self.ledger.get(new.owner) is None
        self.ledger.commit(new)
        self.membership.heard(new, self.now, is_new=is_new)

    def publish(self, new: OwnerState) -> list[object]:
        self.commit(new)
        return self.events()

    def hear(self, suspicion: Suspicion) -> Hearing:
        return self.membership.hear(suspicion, self.now)

    def wait(self, until: int) -> None:
        while self.membership.due <= until:
            self.now = max(self.now, self.membership.due)
            self.membership.expire(self.now)
        self.now = until

    def run(self, until: int) -> list[object]:
        """Do what is due until a time; return the events."""
        self.wait(until)
        return self.events()

    def events(self) -> list[object]:
        out: list[object] = list(self.membership.events)
        self.membership.events.clear()
        return out

    def status(self, identity: Identity = TARGET) -> Status:
        return self.membership.status_of(identity.owner)

    def kill(self, *, since: int = NOON // 1000) -> None:
        for witness in WITNESSES[:3]:
            self.hear(said(witness, since=since))
        self.run(self.now + self.membership.timeout(3))
        assert self.status() is Status.DEAD


def changed(status: Status, before: Status) -> MemberChanged:
    return MemberChanged(TARGET.owner, status, before)


# -- alive, suspect, dead


def test_everybody_is_alive_and_costs_nothing() -> None:
    peer = Peer()
    assert [m.status for m in peer.membership.members()] == [Status.ALIVE] * len(PEOPLE)
    assert len(peer.membership) == 0
    assert peer.membership.due == NEVER


def test_one_witness_makes_suspect_and_time_makes_dead() -> None:
    peer = Peer()
    assert peer.hear(said(WITNESSES[0])) is Hearing.NEW
    assert peer.events() == [changed(Status.SUSPECT, Status.ALIVE)]
    slow = peer.membership.timeout(1)
    assert slow == SLOW * 5 * SECOND
    assert peer.run(slow - 1) == []
    assert peer.run(slow) == [changed(Status.DEAD, Status.SUSPECT)]


@pytest.mark.parametrize(("witnesses", "seconds"), [(1, 30), (2, 14.2), (3, 5), (5, 5)])
def test_more_witnesses_make_it_faster(witnesses: int, seconds: float) -> None:
    assert Peer().membership.timeout(witnesses) == pytest.approx(seconds * SECOND, rel=0.01)


def test_more_owners_make_it_slower() -> None:
    peer = Peer([*PEOPLE, *[Identity(n.to_bytes(2, "big") * 16) for n in range(20_000, 20_992)]])
    assert len(peer.ledger) == 1000
    assert peer.membership.timeout(3) == pytest.approx(12 * SECOND, rel=0.01)


def test_three_witnesses_end_the_wait_at_once_when_it_is_over() -> None:
    peer = Peer()
    peer.hear(said(WITNESSES[0]))
    peer.run(20 * SECOND)
    peer.hear(said(WITNESSES[1]))
    peer.hear(said(WITNESSES[2]))
    assert peer.run(20 * SECOND) == [changed(Status.DEAD, Status.SUSPECT)]


def test_a_witness_counts_once() -> None:
    peer = Peer()
    assert peer.hear(said(WITNESSES[0])) is Hearing.NEW
    assert peer.hear(said(WITNESSES[0])) is Hearing.DUPLICATE
    assert peer.hear(said(WITNESSES[0], since=7)) is Hearing.DUPLICATE
    assert next(m.witnesses for m in peer.membership.members() if m.owner == TARGET.owner) == 1


def test_after_three_it_is_enough() -> None:
    peer = Peer()
    assert [peer.hear(said(w)) for w in WITNESSES[:4]] == [Hearing.NEW] * 3 + [Hearing.ENOUGH]


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_any_newer_record_refutes(order: tuple[int, int], dead: bool) -> None:
    peer = Peer()
    peer.hear(said(WITNESSES[0]))
    if dead:
        peer.run(60 * SECOND)
    peer.events()
    before = Status.DEAD if dead else Status.SUSPECT
    assert peer.publish(state(TARGET, *order)) == [changed(Status.ALIVE, before)]
    assert peer.hear(said(WITNESSES[1])) is Hearing.REFUTED
    assert peer.run(2 * G) == []
    assert len(peer.membership) == 0


def test_the_last_record_does_not_refute() -> None:
    peer = Peer()
    peer.publish(state(TARGET, 1, 5))
    assert peer.hear(said(WITNESSES[0], order=(1, 5))) is Hearing.NEW
    assert peer.status() is Status.SUSPECT


# -- what does not count


def test_who_speaks_of_itself_or_is_nobody_does_not_count() -> None:
    peer = Peer()
    assert peer.hear(said(TARGET)) is Hearing.ABOUT_ITSELF
    assert peer.hear(said(STRANGER)) is Hearing.EARLY
    assert peer.hear(said(WITNESSES[0], STRANGER)) is Hearing.EARLY
    assert peer.status() is Status.ALIVE
    assert peer.events() == []


def test_on_a_closed_topic_strangers_are_refused_before_any_work() -> None:
    peer = Peer(is_allowed=lambda owner: owner != STRANGER.owner)
    assert peer.hear(said(STRANGER)) is Hearing.NOT_ALLOWED
    assert peer.hear(said(WITNESSES[0], STRANGER)) is Hearing.NOT_ALLOWED


def test_a_forged_one_does_not_count() -> None:
    peer = Peer()
    true = said(WITNESSES[0])
    forged = Suspicion(true.target, WITNESSES[1].owner, 1, 1, true.since, true.signature)
    assert peer.hear(forged) is Hearing.BAD_SIGNATURE
    assert peer.status() is Status.ALIVE


@pytest.mark.parametrize("bye", [False, True])
def test_the_dead_and_the_left_do_not_count_but_are_passed_on(bye: bool) -> None:
    peer = Peer()
    if bye:
        peer.publish(state(WITNESSES[0], 1, 2, bye=True))
    else:
        for witness in WITNESSES[1:4]:
            peer.hear(said(witness, WITNESSES[0]))
        peer.run(60 * SECOND)
    peer.events()
    assert peer.hear(said(WITNESSES[0])) is Hearing.WAITING
    assert peer.hear(said(WITNESSES[0])) is Hearing.DUPLICATE
    assert peer.status() is Status.ALIVE
    assert peer.events() == []


def test_what_is_about_a_record_that_has_not_come_waits_for_it() -> None:
    peer = Peer()
    assert peer.hear(said(WITNESSES[0], order=(1, 2))) is Hearing.WAITING
    assert peer.hear(said(WITNESSES[1], order=(1, 3))) is Hearing.WAITING
    assert peer.status() is Status.ALIVE
    assert peer.publish(state(TARGET, 1, 2)) == [changed(Status.SUSPECT, Status.ALIVE)]
    assert peer.publish(state(TARGET, 1, 3)) == []  # another one says so now
    assert peer.publish(state(TARGET, 1, 4)) == [changed(Status.ALIVE, Status.SUSPECT)]
    assert len(peer.membership) == 0


def test_nobody_can_make_an_owner_suspect_for_ever_by_claiming_what_will_never_come() -> None:
    peer = Peer()
    peer.hear(said(WITNESSES[0], order=(2**32 - 1, 2**64 - 1)))
    assert peer.run(G) == []
    assert peer.hear(said(WITNESSES[1])) is Hearing.NEW
    assert peer.publish(state(TARGET, 1, 2))[-1] == changed(Status.ALIVE, Status.SUSPECT)


def test_a_newcomer_is_told_before_it_knows_who_that_is() -> None:
    peer = Peer([ME])
    suspicion = said(WITNESSES[0])
    assert peer.hear(suspicion) is Hearing.EARLY
    assert peer.hear(suspicion) is Hearing.DUPLICATE
    assert peer.publish(state(TARGET)) == []
    assert peer.membership.spread == []
    assert peer.publish(state(WITNESSES[0])) == [changed(Status.SUSPECT, Status.ALIVE)]
    assert peer.membership.spread == [suspicion]


# -- about this peer


def test_what_is_said_about_us_is_denied() -> None:
    peer = Peer()
    assert peer.hear(said(WITNESSES[0], ME)) is Hearing.OURSELVES
    assert peer.hear(said(WITNESSES[0], ME, (1, 0))) is Hearing.REFUTED
    assert peer.hear(said(WITNESSES[0], ME, (1, 2))) is Hearing.AHEAD
    assert peer.hear(said(STRANGER, ME)) is Hearing.OURSELVES
    assert peer.status(ME) is Status.ALIVE


def test_who_has_left_denies_nothing() -> None:
    peer = Peer()
    peer.publish(state(ME, 1, 2, bye=True))
    assert peer.hear(said(WITNESSES[0], ME, (1, 2))) is Hearing.LEFT


def test_we_are_a_witness_ourselves() -> None:
    peer = Peer()
    suspicion = peer.membership.accuse(TARGET.owner, 8 * SECOND, peer.now)
    assert suspicion is not None
    assert suspicion.is_signed(DOMAIN)
    assert (suspicion.order, suspicion.since) == ((1, 1), NOON // 1000 - 8)
    assert peer.events() == [changed(Status.SUSPECT, Status.ALIVE)]
    assert peer.membership.accuse(TARGET.owner, 9 * SECOND, peer.now) is None
    assert peer.membership.accuse(ME.owner, 0, peer.now) is None
    assert peer.membership.accuse(STRANGER.owner, 0, peer.now) is None
    peer.publish(state(TARGET, 1, 2))
    assert peer.membership.accuse(TARGET.owner, 0, peer.now) is not None


def test_a_new_neighbour_is_told_one_statement_an_owner() -> None:
    peer = Peer()
    for witness in WITNESSES[1:4]:
        peer.hear(said(witness))
        peer.hear(said(witness, WITNESSES[0]))
    peer.hear(said(WITNESSES[5], WITNESSES[4], (1, 9)))  # it waits
    assert list(peer.membership.active()) == [said(WITNESSES[1]), said(WITNESSES[1], WITNESSES[0])]


def test_a_neighbour_is_told_again_now_and_then_but_not_of_all(seed: int) -> None:
    targets = [Identity(bytes([200, n]) * 16) for n in range(MAX_RETOLD + 5)]
    peer, rng = Peer([*PEOPLE, *targets]), random.Random(seed)
    assert peer.membership.some(rng) == []
    said_so = [said(WITNESSES[0], target) for target in targets]
    for suspicion in said_so[:2]:
        peer.hear(suspicion)
    assert peer.membership.some(rng) == said_so[:2]
    for suspicion in said_so[2:]:
        peer.hear(suspicion)
    assert len(set(peer.membership.some(rng))) == MAX_RETOLD


# -- leaving


def test_who_says_goodbye_has_left_and_raises_no_suspicion() -> None:
    peer = Peer()
    assert peer.publish(state(TARGET, 1, 2, bye=True)) == [changed(Status.LEFT, Status.ALIVE)]
    assert peer.hear(said(WITNESSES[0], order=(1, 2))) is Hearing.LEFT
    assert peer.membership.accuse(TARGET.owner, 0, peer.now) is None
    assert list(peer.membership.active()) == []
    assert peer.publish(state(TARGET, 2, 1)) == [changed(Status.ALIVE, Status.LEFT)]


def test_a_late_goodbye_tells_that_it_is_not_dead() -> None:
    peer = Peer()
    peer.kill()
    peer.events()
    assert peer.publish(state(TARGET, 1, 2, bye=True)) == [changed(Status.LEFT, Status.DEAD)]


# -- forgetting


@pytest.mark.parametrize("bye", [False, True])
def test_it_is_hidden_after_half_the_time_and_forgotten_after_all(bye: bool) -> None:
    peer = Peer()
    if bye:
        peer.publish(state(TARGET, 1, 2, bye=True))
        began = 0
    else:
        peer.kill()
        began = SECOND * round(peer.now / SECOND)
    peer.events()
    slack = 10 * SECOND
    assert peer.run(began + G // 2 - slack) == []
    assert peer.run(began + G // 2 + slack) == [MemberHidden(TARGET.owner)]
    assert peer.membership.is_hidden(TARGET.owner)
    assert list(peer.membership.active()) == []
    assert peer.run(began + G - slack) == []
    events = peer.run(began + G + slack)
    assert [type(e) for e in events] == [MemberForgotten]
    assert isinstance(events[0], MemberForgotten)
    assert events[0].until == pytest.approx(began + 2 * G, abs=slack)
    assert len(peer.membership) == 0
    assert peer.membership.due == NEVER


def test_it_is_shown_again_with_its_next_record() -> None:
    peer = Peer()
    peer.kill()
    peer.run(G * 3 // 4)
    assert peer.membership.is_hidden(TARGET.owner)
    peer.publish(state(TARGET, 2, 1))
    assert not peer.membership.is_hidden(TARGET.owner)
    assert peer.run(4 * G) == []


@pytest.mark.parametrize("bye", [False, True])
def test_a_newcomer_does_not_begin_the_time_anew(bye: bool) -> None:
    peer = Peer()
    peer.now = G  # that much has passed since
    if bye:
        peer.publish(state(TARGET, 1, 2, bye=True))
    else:
        peer.kill()
    peer.run(peer.now + SECOND)
    assert peer.membership.is_hidden(TARGET.owner)
    assert [type(e) for e in peer.run(peer.now + G // 2)][-1] is MemberForgotten


def test_who_still_offers_what_was_forgotten_is_reminded() -> None:
    peer = Peer()
    assert peer.membership.remind(TARGET.owner, (1, 1), peer.now) is None  # it is not forgotten
    peer.ledger.forget(TARGET.owner, G)
    first = peer.membership.remind(TARGET.owner, (1, 1), peer.now)
    assert first is not None
    assert first.is_signed(DOMAIN)
    assert peer.membership.remind(TARGET.owner, (1, 1), peer.now) is first
    assert peer.membership.remind(TARGET.owner, (1, 2), peer.now) is None  # it has come back
    assert peer.hear(said(WITNESSES[0])) is Hearing.REFUTED
    other = Peer()
    other.membership._identity = WITNESSES[0]
    assert other.hear(first) is Hearing.NEW
    assert other.run(60 * SECOND)[-1] == MemberHidden(TARGET.owner)


# -- bounds


def test_a_witness_that_speaks_too_fast_is_not_heard() -> None:
    targets = [Identity(bytes([200, n]) * 16) for n in range(BURST + 10)]
    peer = Peer([*PEOPLE, *targets])
    heard = [peer.hear(said(WITNESSES[0], target)) for target in targets]
    assert heard == [Hearing.NEW] * BURST + [Hearing.TOO_FAST] * 10
    peer.now += SECOND
    assert peer.hear(said(WITNESSES[0], targets[-1])) is Hearing.NEW


def test_what_waits_is_bounded() -> None:
    many = [Identity(bytes([100, n]) * 16) for n in range(MAX_WAITING + 4)]
    peer = Peer([*PEOPLE, *many])
    heard = [peer.hear(said(witness, order=(1, 100 - n))) for n, witness in enumerate(many)]
    assert set(heard) == {Hearing.WAITING}
    assert peer.hear(said(WITNESSES[0], order=(9, 9))) is Hearing.CROWDED
    assert peer.hear(said(WITNESSES[0])) is Hearing.NEW


def test_what_is_early_is_bounded() -> None:
    peer = Peer([ME])
    for n in range(MAX_EARLY + 50):
        target = n.to_bytes(32, "big")
        assert peer.hear(Suspicion(target, TARGET.owner, 1, 1, 0, bytes(64))) is Hearing.EARLY
    assert peer.membership.early.evicted == 50
    assert len(peer.membership.early) == sum(map(len, peer.membership.early._waiting.values())) == MAX_EARLY


def test_the_heap_does_not_grow_with_changes() -> None:
    peer = Peer()
    for version in range(2, 200):
        peer.hear(said(WITNESSES[0], order=(1, version - 1)))
        peer.publish(state(TARGET, 1, version))
        peer.now += SECOND
    assert len(peer.membership._heap) < 40
    assert MAX_CASES >= 65_536


# -- whatever happens


steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 5), st.integers(1, 4)),
        st.tuples(st.just("publish"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("accuse"), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 40), st.just(0)),
    ),
    max_size=25,
)


@given(steps)
def test_the_next_record_always_brings_it_back_and_events_tell_the_whole_story(
    script: list[tuple[str, int, int]],
) -> None:
    peer = Peer()
    told, version = Status.ALIVE, 1
    for what, one, two in [*script, ("publish", 5, False)]:
        match what:
            case "say":
                peer.hear(said(WITNESSES[one], order=(1, two)))
            case "publish" if one > version:
                version = one
                peer.commit(state(TARGET, 1, one, bye=bool(two)))
            case "accuse":
                peer.membership.accuse(TARGET.owner, 0, peer.now)
            case "wait":
                peer.wait(peer.now + one * SECOND)
        for event in peer.events():
            if isinstance(event, MemberChanged):
                assert event.before is told
                assert event.status is not told
                told = event.status
        assert peer.status() is told
        case = peer.membership._cases.get(TARGET.owner)
        if case is not None:
            assert all(s.order == (1, version) for s in case.counting)
            assert bool(case.counting) == (case.status in (Status.SUSPECT, Status.DEAD))
            for statements in (case.counting, case.waiting):
                assert len({s.witness for s in statements}) == len(statements)
    assert peer.status() is Status.ALIVE
