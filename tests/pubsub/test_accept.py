"""What a receiver knows of an owner is what that owner published, whoever sends what."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pubsub import (
    Accepted,
    Acceptor,
    Description,
    Domain,
    Header,
    HybridClock,
    Identity,
    Ledger,
    MachineState,
    OwnerState,
    Part,
    Proof,
    Record,
    Verdict,
    WireError,
    decode_record,
)
from pubsub.accept import BURST, MAX_PENDING, RATE, STRANGERS_BURST, STRANGERS_RATE, Bucket
from pubsub.boundary import SECOND
from pubsub.hlc import stamp_of
from pubsub.identity import short_of
from pubsub.record import NO_HASH
from pubsub.state import root_of
from simulations.fuzz import a_life

ANNA = Identity(bytes(range(32)))
BEN = Identity(bytes(32))
ME = Identity(b"\7" * 32)
DOMAIN = Domain("topic")
NOON = 1_700_000_000_000


def machine(index: int, *ticks: int) -> MachineState:
    return MachineState.build(index, Description(f"m{index}"), NO_HASH, ticks)


def owned(
    version: int,
    *built: MachineState,
    epoch: int = 1,
    by: Identity = ANNA,
    domain: Domain = DOMAIN,
    hlc: int = stamp_of(NOON),
) -> OwnerState:
    header = Header(0, by.owner, epoch, version, hlc, 60, root_of(built)).sign(by, domain)
    return OwnerState(header, {m.index: m for m in built})


ONE = owned(1, machine(0, 1))
TWO = owned(2, machine(0, 1, 1))
THREE = owned(3, machine(0, 2, 1))
DELTA_TWO = TWO.record(full=False, since=ONE)
DELTA_THREE = THREE.record(full=False, since=TWO)


class Receiver(Acceptor):
    """An acceptor with a ledger of its own, which counts how many signatures it has checked."""

    checked = 0

    def __init__(self, *known: OwnerState, ledger: Ledger | None = None, allowed: set[bytes] | None = None) -> None:
        clock = HybridClock(lambda: NOON)
        super().__init__(DOMAIN, Ledger() if ledger is None else ledger, clock, ME.owner, allowed, is_signed=self.check)
        for state in known:
            self.ledger.commit(state)

    def check(self, header: Header) -> bool:
        self.checked += 1
        return header.is_signed(self.domain)

    def hears(self, *records: Record, now: int = 0, limited: bool = True) -> list[Verdict]:
        return [self.consider(record, now, limited=limited).verdict for record in records]


def forged(state: OwnerState) -> Record:
    return Record(replace(state.header, signature=bytes(64)), state.record().parts, True)


# -- verdicts


def test_what_is_newer_and_whole_is_committed() -> None:
    receiver = Receiver()
    first = receiver.consider(ONE.record(), 0)
    second = receiver.consider(DELTA_TWO, 0)
    assert first == Accepted(Verdict.COMMITTED, ONE)
    assert second == Accepted(Verdict.COMMITTED, TWO, ONE)
    assert dict(receiver.ledger.items()) == {ANNA.owner: TWO}
    assert receiver.counts[Verdict.COMMITTED] == 2


def test_what_is_known_is_a_duplicate_and_what_is_older_is_older() -> None:
    receiver = Receiver(TWO)
    assert receiver.hears(TWO.record(), DELTA_TWO, ONE.record()) == [
        Verdict.DUPLICATE,
        Verdict.DUPLICATE,
        Verdict.OLDER,
    ]
    assert receiver.checked == 0, "the cheap question comes first"
    assert receiver.hears(owned(9, machine(0, 9), epoch=0).record()) == [Verdict.OLDER]


def test_a_gap_changes_nothing_and_is_closed_by_anybody() -> None:
    receiver = Receiver(ONE)
    assert receiver.hears(DELTA_THREE) == [Verdict.GAP]
    assert receiver.ledger.get(ANNA.owner) is ONE
    assert receiver.hears(THREE.record(full=False, since=ONE)) == [Verdict.COMMITTED]
    assert receiver.checked == 1, "one header, one signature"


def test_a_gap_is_closed_by_what_was_missing() -> None:
    receiver = Receiver(ONE)
    assert receiver.hears(DELTA_THREE, DELTA_TWO, DELTA_THREE) == [Verdict.GAP, Verdict.COMMITTED, Verdict.COMMITTED]
    assert receiver.checked == 2, "the newer header is still known after the older one was committed"


def test_a_verified_header_does_not_make_others_verified() -> None:
    receiver = Receiver(ONE)
    receiver.hears(DELTA_THREE)
    for header in (
        replace(THREE.header, hlc=1),
        replace(THREE.header, root=TWO.header.root),
        replace(THREE.header, version=4),
        replace(THREE.header, signature=bytes(64)),
    ):
        assert receiver.hears(Record(header, THREE.record().parts, True)) == [Verdict.BAD_SIGNATURE]


def test_a_body_that_is_not_the_signed_one_is_a_gap() -> None:
    receiver = Receiver(ONE)
    for parts in (
        (),
        (Part(0, ((0, 9),), 1),),
        (Part(0, gone=True),),
        (*DELTA_TWO.parts, Part(1, gone=False, description=Description("x"), schema=NO_HASH)),
    ):
        assert receiver.hears(Record(TWO.header, parts)) == [Verdict.GAP]
    assert receiver.hears(DELTA_TWO) == [Verdict.COMMITTED]
    assert receiver.checked == 1


def test_a_bad_signature_is_refused() -> None:
    receiver = Receiver(ONE)
    assert receiver.hears(forged(TWO)) == [Verdict.BAD_SIGNATURE]
    assert receiver.hears(Record(replace(TWO.header, owner=BEN.owner), TWO.record().parts, True)) == [
        Verdict.BAD_SIGNATURE
    ]
    assert dict(receiver.ledger.items()) == {ANNA.owner: ONE}


@pytest.mark.parametrize(
    "domain", [Domain("other"), Domain(""), Domain("topic", b"key"), Domain("topic", b"k"), Domain("topic\0")]
)
def test_a_record_of_another_topic_or_without_its_key_is_not_signed(domain: Domain) -> None:
    assert Receiver().hears(owned(1, machine(0, 1), domain=domain).record()) == [Verdict.BAD_SIGNATURE]
    shared = Receiver()
    shared.domain = Domain("topic", b"key")
    expected = Verdict.COMMITTED if domain == shared.domain else Verdict.BAD_SIGNATURE
    assert shared.hears(owned(1, machine(0, 1), domain=domain).record()) == [expected]
    assert shared.hears(TWO.record()) == [Verdict.BAD_SIGNATURE], "it is signed without the key"


def test_a_closed_topic_refuses_others_before_any_work() -> None:
    receiver = Receiver(allowed={BEN.owner})
    assert receiver.hears(ONE.record(), forged(ONE), owned(1, machine(0, 1), by=BEN).record()) == [
        Verdict.NOT_ALLOWED,
        Verdict.NOT_ALLOWED,
        Verdict.COMMITTED,
    ]
    assert receiver.checked == 1


def test_a_new_epoch_wins_whatever_its_version_and_an_old_one_never_comes_back() -> None:
    receiver = Receiver(owned(900, machine(0, 900)))
    reborn = owned(1, machine(0, 1), epoch=2)
    assert receiver.hears(reborn.record(), owned(901, machine(0, 901)).record()) == [Verdict.COMMITTED, Verdict.OLDER]
    far = owned(1, machine(0, 1), epoch=2**32 - 1)
    assert receiver.hears(far.record()) == [Verdict.COMMITTED], "an epoch is a number, not a time"


def test_who_went_backwards_within_an_epoch_is_not_followed_and_not_asked_again() -> None:
    receiver = Receiver(THREE)
    behind = owned(4, machine(0, 1))
    assert receiver.hears(behind.record()) == [Verdict.BACKWARDS]
    assert receiver.hears(Record(behind.header, (), False)) == [Verdict.GAP]
    assert receiver.ledger.get(ANNA.owner) is THREE
    assert receiver.hears(owned(1, machine(0, 1), epoch=2).record()) == [Verdict.COMMITTED]


# -- this peer itself


def test_own_records_at_or_above_the_published_ones_are_told_and_never_taken() -> None:
    mine = owned(5, machine(0, 5), by=ME)
    receiver = Receiver(mine)
    above, beside = owned(6, machine(0, 9), by=ME), owned(5, machine(0, 7), by=ME)
    later = owned(1, machine(0, 1), by=ME, epoch=2)
    echoes = [mine.record(), owned(4, machine(0, 4), by=ME).record()]
    assert receiver.hears(*echoes) == [Verdict.DUPLICATE, Verdict.OLDER]
    assert receiver.hears(above.record(), beside.record(), later.record()) == [Verdict.OWN] * 3
    assert receiver.hears(forged(above)) == [Verdict.BAD_SIGNATURE]
    assert dict(receiver.ledger.items()) == {ME.owner: mine}
    assert receiver.proofs == {}


def test_a_peer_with_no_memory_hears_of_its_past_and_its_clock_passes_it() -> None:
    receiver = Receiver(ledger=Ledger(max_owners=0))
    past = owned(5, machine(0, 5), by=ME, hlc=stamp_of(NOON + 5_000))
    assert receiver.hears(past.record()) == [Verdict.OWN]
    assert receiver.clock.stamp() > past.header.hlc


# -- time


def test_the_clock_passes_committed_stamps_only_and_not_those_from_too_far_ahead() -> None:
    receiver = Receiver()
    near, far = stamp_of(NOON + 9_000), stamp_of(NOON + 11_000)
    assert receiver.hears(forged(owned(1, machine(0, 1), hlc=near))) == [Verdict.BAD_SIGNATURE]
    assert receiver.clock.last == 0
    assert receiver.hears(owned(1, machine(0, 1), hlc=far).record()) == [Verdict.COMMITTED], "a stamp decides nothing"
    assert (receiver.clock.last, receiver.clock.skewed) == (0, 1)
    assert receiver.hears(owned(2, machine(0, 2), hlc=near).record()) == [Verdict.COMMITTED]
    assert receiver.clock.last == near


# -- rates


def test_a_bucket_fills_with_time_to_the_microsecond() -> None:
    bucket = Bucket(20, 2, now=0)

    def take(now: int) -> bool:
        ready = bucket.ready(now)
        if ready:
            bucket.take()
        return ready

    assert [take(0), take(0), take(0)] == [True, True, False]
    assert [take(49_999), take(50_000), take(50_000)] == [False, True, False]
    assert [take(99_999), take(100_000)] == [False, True]
    assert [take(10**12), take(10**12), take(10**12)] == [True, True, False]
    assert not take(0), "time that goes back gives and takes nothing"
    assert take(10**12 + 50_000)


def versions(count: int, first: int = 2) -> list[Record]:
    return [owned(v, machine(0, v)).record() for v in range(first, first + count)]


def test_an_owner_has_a_burst_and_a_rate() -> None:
    receiver = Receiver(ONE)
    records = versions(BURST + 3)
    assert receiver.hears(*records[:BURST]) == [Verdict.COMMITTED] * BURST
    assert receiver.hears(records[BURST]) == [Verdict.TOO_FAST]
    assert receiver.checked == BURST, "what is too fast costs no signature"
    later = SECOND // RATE
    assert receiver.hears(*records[BURST : BURST + 2], now=later) == [Verdict.COMMITTED, Verdict.TOO_FAST]
    assert receiver.hears(records[BURST + 1], now=later, limited=False) == [Verdict.COMMITTED]
    assert receiver.hears(owned(1, machine(0, 1), by=BEN).record(), now=later) == [Verdict.COMMITTED]


def test_nobody_can_use_up_the_rate_of_somebody_else() -> None:
    """Neither by forging, nor by repeating what it did sign, with this body or that."""
    receiver = Receiver(ONE)
    for _ in range(2 * BURST):
        receiver.hears(forged(TWO), ONE.record(), Record(THREE.header, ()))
    assert receiver.checked == 2 * BURST + 1
    assert receiver.hears(*versions(BURST - 2, first=4)) == [Verdict.COMMITTED] * (BURST - 2)


def test_strangers_share_one_bucket_and_leave_nothing_behind() -> None:
    receiver = Receiver()
    for n in range(STRANGERS_BURST):
        receiver.consider(Record(replace(ONE.header, owner=n.to_bytes(32, "big")), (), True), 0)
    assert receiver.counts[Verdict.BAD_SIGNATURE] == STRANGERS_BURST
    assert receiver._paid == {}
    assert receiver._pending == {}
    assert receiver.hears(ONE.record()) == [Verdict.COMMITTED], "forgers use up nothing"
    receiver._strangers = Bucket(STRANGERS_RATE, 1, 0)
    others = [owned(1, machine(0, 1), by=Identity(bytes([n]) * 32)).record() for n in range(20, 22)]
    assert receiver.hears(*others) == [Verdict.COMMITTED, Verdict.TOO_FAST]


def test_a_full_ledger_takes_no_strangers() -> None:
    receiver = Receiver(ONE, ledger=Ledger(max_owners=1))
    ben = owned(1, machine(0, 1), by=BEN)
    assert receiver.hears(ben.record(), TWO.record()) == [Verdict.CROWDED, Verdict.COMMITTED]
    receiver.ledger.forget(ANNA.owner, until=1)
    assert receiver.hears(ben.record()) == [Verdict.COMMITTED]


def test_what_is_kept_for_gaps_is_bounded() -> None:
    receiver = Receiver()
    receiver.verify = lambda header: True
    for n in range(MAX_PENDING + 5):
        record = Record(replace(ONE.header, owner=n.to_bytes(32, "big")), (Part(0, ((0, 1),)),))
        assert receiver.hears(record, limited=False) == [Verdict.GAP]
    assert len(receiver._pending) == MAX_PENDING
    assert (5).to_bytes(32, "big") in receiver._pending


def test_all_that_is_kept_of_an_owner_goes_with_it() -> None:
    receiver = Receiver(ONE)
    receiver.hears(owned(1, machine(0, 7)).record(), DELTA_TWO, owned(9, machine(0, 9), machine(1)).record())
    receiver.hears(Record(owned(12, machine(0, 1)).header, ()))
    assert receiver._paid
    assert receiver._pending
    assert receiver.proofs
    receiver.forget(ANNA.owner)
    receiver.ledger.forget(ANNA.owner, until=10)
    assert not receiver._paid
    assert not receiver._pending
    assert not receiver.proofs
    receiver.forget(ANNA.owner)


# -- forgetting


def test_a_forgotten_owner_comes_back_with_something_new_only() -> None:
    receiver = Receiver(TWO)
    receiver.ledger.forget(ANNA.owner, until=100)
    assert list(receiver.ledger.forgotten()) == [(short_of(ANNA.owner), (1, 2))]
    assert receiver.ledger.order_of(ANNA.owner) == (1, 2)
    assert receiver.hears(ONE.record(), TWO.record(), DELTA_TWO) == [
        Verdict.OLDER,
        Verdict.DUPLICATE,
        Verdict.DUPLICATE,
    ]
    assert receiver.hears(owned(2, machine(0, 9)).record()) == [Verdict.DUPLICATE], "there is nothing to compare with"
    assert receiver.hears(DELTA_THREE) == [Verdict.GAP]
    assert receiver.hears(THREE.record()) == [Verdict.COMMITTED]
    assert list(receiver.ledger.forgotten()) == []


def test_what_is_forgotten_is_remembered_until_then_and_within_bounds() -> None:
    ledger = Ledger(max_forgotten=2)
    states = [owned(n, by=Identity(bytes([n]) * 32)) for n in (10, 11, 12)]
    for state in states:
        ledger.commit(state)
    for state in states:
        ledger.forget(state.owner, until=state.header.version)
    assert ledger.evicted == 1
    assert ledger.order_of(states[0].owner) is None
    assert ledger.order_of(states[1].owner) == (1, 11)
    assert ledger.expire(10) == 0
    assert ledger.expire(11) == 1
    assert ledger.order_of(states[1].owner) is None
    assert ledger.order_of(states[2].owner) == (1, 12)
    with pytest.raises(KeyError):
        ledger.forget(states[2].owner, until=20)


# -- equivocation

SIDES = sorted(
    [owned(2, machine(0, 2)), owned(2, machine(0, 1, 5)), owned(2, machine(0, 1))], key=lambda s: s.header.rank
)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_larger_rank_wins_in_whatever_order_the_sides_are_heard(order: tuple[int, ...]) -> None:
    receiver = Receiver(ONE)
    accepted = [receiver.consider(SIDES[at].record(), 0) for at in order]
    assert receiver.ledger.get(ANNA.owner) == SIDES[2]
    found = [a for a in accepted if a.verdict is Verdict.EQUIVOCATION]
    assert found
    assert all(a.proof is not None and a.proof.is_valid(DOMAIN) for a in found)
    first = receiver.proofs[ANNA.owner]
    assert first == found[0].proof
    again = receiver.hears(*(s.record() for s in SIDES))
    assert again[2] is Verdict.DUPLICATE
    assert receiver.ledger.get(ANNA.owner) == SIDES[2]
    assert receiver.proofs == {ANNA.owner: first}


def test_a_side_that_comes_as_a_delta_convicts_and_is_taken_when_it_comes_whole() -> None:
    receiver = Receiver(SIDES[0])
    side = SIDES[1]
    accepted = receiver.consider(Record(side.header, (Part(0, ((3, 3),), 1),)), 0)
    assert accepted.verdict is Verdict.EQUIVOCATION
    assert accepted.state is None
    assert accepted.before == SIDES[0]
    assert receiver.hears(side.record()) == [Verdict.EQUIVOCATION]
    assert receiver.ledger.get(ANNA.owner) == side
    assert receiver.checked == 1


def test_nobody_is_convicted_by_a_forged_side() -> None:
    receiver = Receiver(TWO)
    assert receiver.hears(*map(forged, SIDES)) == [Verdict.BAD_SIGNATURE] * 3
    assert receiver.proofs == {}
    assert receiver.ledger.get(ANNA.owner) is TWO


def test_evidence_from_elsewhere_counts_once_and_only_if_it_is_good() -> None:
    proof = Proof.of(SIDES[0].header, SIDES[1].header)
    assert proof is not None
    assert not Receiver().convict(proof), "an owner that is not known costs nothing to convict, and memory to remember"
    receiver = Receiver(ONE)
    assert not receiver.convict(replace(proof, larger=forged(SIDES[1]).header))
    assert not receiver.convict(Proof(ONE.header, TWO.header))
    assert not receiver.convict(Proof(SIDES[1].header, SIDES[0].header))
    assert receiver.convict(proof)
    assert not receiver.convict(proof)
    assert receiver.proofs == {ANNA.owner: proof}


def test_an_honest_owner_after_an_equivocation_is_followed_again() -> None:
    """Who finds its key in use elsewhere begins another epoch."""
    receiver = Receiver(SIDES[0])
    receiver.hears(SIDES[2].record())
    reborn = owned(1, machine(0, 1), epoch=2)
    assert receiver.hears(reborn.record()) == [Verdict.COMMITTED]


# -- a hostile relay

OWNERS = (ANNA, BEN)
LIVES = {
    identity.owner: [
        *a_life(random.Random(3 + n), identity, DOMAIN, 1, 8),
        *a_life(random.Random(n), identity, DOMAIN, 2, 6),
    ]
    for n, identity in enumerate(OWNERS)
}
HISTORY = [state for life in LIVES.values() for state in life]
SHORTS = {short_of(owner): owner for owner in LIVES}
#: What the relay has seen: every full record, and deltas over one and more steps.
SEEN = [state.record() for state in HISTORY] + [
    late.record(full=False, since=early)
    for life in LIVES.values()
    for at, late in enumerate(life)
    for early in life[max(0, at - 3) : at]
    if early.header.epoch == late.header.epoch
]
seen = st.sampled_from(SEEN)


class HostileRelay(RuleBasedStateMachine):
    """Three receivers behind a relay that forges, replays, cuts, mixes and reorders, and has a key of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.receivers = [Receiver() for _ in range(3)]
        self.before: list[dict[bytes, OwnerState]] = [{}, {}, {}]
        self.relay = Identity(b"\x66" * 32)

    @invariant()
    def every_state_was_published_and_none_went_back(self) -> None:
        for at, receiver in enumerate(self.receivers):
            states = dict(receiver.ledger.items())
            for owner, state in states.items():
                assert state in LIVES[owner]
                before = self.before[at].get(owner)
                assert before is None or state.order >= before.order
            assert set(self.before[at]) <= set(states)
            assert receiver.proofs == {}
            self.before[at] = dict(states)

    def send(self, to: int, data: bytes) -> None:
        try:
            record = decode_record(data, SHORTS)
        except WireError:
            return
        self.receivers[to].consider(record, 0, limited=False)

    def give(self, to: int, record: Record) -> None:
        self.send(to, record.encode())

    @rule(to=st.integers(0, 2), record=seen, short=st.booleans())
    def pass_on_or_replay(self, to: int, record: Record, short: bool) -> None:
        self.send(to, record.encode(short=short))

    @rule(to=st.integers(0, 2), record=seen, data=st.data())
    def cut(self, to: int, record: Record, data: st.DataObject) -> None:
        raw = record.encode()
        self.send(to, raw[: data.draw(st.integers(0, len(raw) - 1))])

    @rule(to=st.integers(0, 2), record=seen, bits=st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
    def flip_bits(self, to: int, record: Record, bits: list[int]) -> None:
        raw = bytearray(record.encode())
        for bit in bits:
            raw[bit // 8 % len(raw)] ^= 1 << bit % 8
        self.send(to, bytes(raw))

    @rule(to=st.integers(0, 2), one=seen, two=seen)
    def put_a_header_before_another_body(self, to: int, one: Record, two: Record) -> None:
        self.give(to, Record(one.header, two.parts, two.full))

    @rule(to=st.integers(0, 2), one=seen, two=seen)
    def mix_two_bodies(self, to: int, one: Record, two: Record) -> None:
        parts = {p.index: p for p in (*one.parts, *two.parts)}
        self.give(to, Record(one.header, tuple(parts[i] for i in sorted(parts)), one.full))

    @rule(to=st.integers(0, 2), record=seen, data=st.data())
    def drop_parts(self, to: int, record: Record, data: st.DataObject) -> None:
        kept = tuple(p for p in record.parts if data.draw(st.booleans()))
        self.give(to, Record(record.header, kept, record.full and data.draw(st.booleans())))

    @rule(to=st.integers(0, 2), record=seen, data=st.data())
    def reorder_parts(self, to: int, record: Record, data: st.DataObject) -> None:
        self.give(to, Record(record.header, tuple(data.draw(st.permutations(record.parts))), record.full))

    @rule(to=st.integers(0, 2), record=seen, tick=st.integers(1, 1000), state=st.integers(0, 3))
    def add_ticks(self, to: int, record: Record, tick: int, state: int) -> None:
        parts = tuple(p if p.gone else replace(p, ticks=((state, tick),)) for p in record.parts)
        self.give(to, Record(record.header, parts, record.full))

    @rule(
        to=st.integers(0, 2),
        record=seen,
        field=st.sampled_from(["flags", "owner", "epoch", "version", "hlc", "lease", "root"]),
        other=st.sampled_from(HISTORY),
    )
    def change_the_header(self, to: int, record: Record, field: str, other: OwnerState) -> None:
        changed = replace(record.header, **{field: getattr(other.header, field)})
        self.give(to, Record(changed, record.parts, record.full))

    @rule(to=st.integers(0, 2), record=seen, version=st.integers(0, 20), epoch=st.integers(0, 3))
    def sign_with_its_own_key_for_somebody_else(self, to: int, record: Record, version: int, epoch: int) -> None:
        header = replace(record.header, version=version, epoch=epoch).sign(self.relay, DOMAIN)
        self.give(to, Record(header, record.parts, record.full))

    @rule(to=st.integers(0, 2), record=seen)
    def sign_for_another_topic(self, to: int, record: Record) -> None:
        identity = ANNA if record.header.owner == ANNA.owner else BEN
        self.give(to, Record(record.header.sign(identity, Domain("other")), record.parts, record.full))

    def teardown(self) -> None:
        for receiver in self.receivers:  # and after all that, each of them can still learn the truth
            for life in LIVES.values():
                receiver.consider(life[-1].record(), 10 * SECOND, limited=False)
                assert receiver.ledger.get(life[-1].owner) == life[-1]


TestHostileRelay = HostileRelay.TestCase
TestHostileRelay.settings = settings(max_examples=60)
