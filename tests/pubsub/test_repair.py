"""Sessions of repair bring two peers to the same states, in bounded steps, whatever the other side does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pubsub import Description, Domain, Header, Identity, MachineState, OwnerState, Record
from pubsub.accept import BURST, STRANGERS_BURST, Verdict
from pubsub.boundary import LINK, SECOND, SEND, SYNC, Host, Message, Outputs
from pubsub.codec import MAX_SIZE, decode, encode
from pubsub.core import Core
from pubsub.identity import short_of
from pubsub.messages import MAX_FRAME, MAX_WANTS, Entries, Exchange, Frame, Parcel, Summary
from pubsub.parameters import Parameters
from pubsub.record import BYE, NO_HASH
from pubsub.repair import FAST, FAST_SESSIONS, LATE_MS, MAX_OWN, MAX_SESSIONS, PERIOD, SPREAD, STALL, TIMEOUT
from pubsub.sessions import MAX_SERVED, entry_pages
from pubsub.state import root_of
from simulations.disk import Disk

DOMAIN = Domain("repair")
NOON = 1_700_000_000_000
ALONE = Parameters(links=False, liveness=False)


def owner(number: int) -> Identity:
    return Identity(number.to_bytes(32, "big"))


def state_of(who: Identity, *ticks: int, version: int = 1, flags: int = 0, name: str = "m") -> OwnerState:
    machine = MachineState.build(0, Description(name), NO_HASH, ticks)
    header = Header(flags, who.owner, 1, version, NOON << 16, 60, root_of([machine]))
    return OwnerState(header.sign(who, DOMAIN), {0: machine})


STRANGERS = [state_of(owner(n), 1) for n in range(1000, 1000 + 2 * STRANGERS_BURST)]


class Peer:
    """A core that has two neighbours, 2 and 3, and knows some states."""

    def __init__(self, number: int, known: Sequence[OwnerState] = ()) -> None:
        host = Host(random=random.Random(number), wall=lambda: NOON + 60_000, disk=Disk())
        self.core: Core[int] = Core(host, owner(number), DOMAIN, parameters=ALONE)
        for state in known:
            self.core.ledger.commit(state)
        self.core.start(0)
        for neighbour in (2, 3):
            self.core.link_up(0, neighbour, False)

    def hears(self, message: Message, *, stream: int = 1, now: int = 0, of: int = 2) -> list[Any]:
        """Return what it answers."""
        return said(self.core.receive(now, of, SYNC, stream, message))

    def opens(self, now: int = 0, of: int = 2) -> tuple[int, Any]:
        """Return stream and summary of a session that it opens."""
        out: list[Any] = []
        self.core._begin_session(of, now, out)
        return next((stream, message) for _, _, _, stream, message in out)


def said(outputs: Outputs[int]) -> list[Any]:
    return [output[4] for output in outputs if output[0] == SEND and output[2] == SYNC]


def meet(opener: Peer, other: Peer, now: int = 0, limit: int = 200) -> int:
    """Let one peer have a session with another; return how many messages that took, each of which must fit."""
    stream, summary = opener.opens(now)
    way: list[tuple[Peer, Any]] = [(other, summary)]
    count = 0
    while way:
        peer, message = way.pop(0)
        count += 1
        data = encode(message)
        assert len(data) == message.size < MAX_SIZE[SYNC]
        assert count < limit
        back = other if peer is opener else opener
        way += [(back, answer) for answer in peer.hears(decode(SYNC, data), stream=stream, now=now)]
    assert not opener.core.repair.sessions
    assert not other.core.repair.sessions
    return count


def everything(peer: Peer) -> dict[bytes, int]:
    return {who: state.mark for who, state in peer.core.ledger.items() if who != peer.core.identity.owner}


@pytest.mark.parametrize("known", [(0, 5), (5, 0), (40, 30), (800, 790)])
def test_two_that_have_met_know_the_same(known: tuple[int, int]) -> None:
    ours, theirs = known
    left, right = Peer(1, STRANGERS[:ours]), Peer(4, STRANGERS[ours // 2 : ours // 2 + theirs])
    meet(left, right)
    assert everything(left) == everything(right)
    assert len(everything(left)) == max(ours, ours // 2 + theirs)


def test_who_has_nothing_asks_for_all_in_batches_and_who_is_pushed_too_much_asks_for_the_rest() -> None:
    many = Peer(1, STRANGERS)
    asking = Peer(4)
    meet(asking, many)
    assert len(everything(asking)) == len(STRANGERS)
    pushed = Peer(5)
    meet(many, pushed)
    assert pushed.core.acceptor.counts[Verdict.TOO_FAST]
    assert len(everything(pushed)) == STRANGERS_BURST
    assert pushed.core.repair.due < SECOND
    wakes = pushed.core.timer(pushed.core.repair.due)
    assert [output[1] for output in wakes if output[0] == SEND and output[2] == SYNC] == [2]


def test_what_is_pushed_counts_for_the_rates() -> None:
    peer = Peer(1)
    peer.hears(Summary((1,) * 16))
    for state in STRANGERS:
        peer.hears(Exchange((Parcel.of(state.record()),), last=False))
    assert len(everything(peer)) == STRANGERS_BURST
    who, peer = owner(9), Peer(1)
    peer.hears(Summary((1,) * 16))
    for version in range(1, 2 * BURST):
        peer.hears(Exchange((Parcel.of(state_of(who, version, version=version).record()),), last=False))
    assert peer.core.acceptor.counts[Verdict.TOO_FAST] == BURST - 2  # the first one was a stranger's


def test_a_want_is_answered_once_and_an_answer_is_bounded() -> None:
    large = [state_of(owner(n), *[2**50] * 4000) for n in range(2000, 2040)]
    peer = Peer(1, large)
    shorts = tuple(short_of(state.owner) for state in large)
    peer.hears(Summary((1,) * 16))
    once = peer.hears(Exchange((), shorts[:1] * 10_000, last=False))
    assert [len(page.parcels) for page in once] == [1]
    pages = peer.hears(Exchange((), shorts, last=False))
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert MAX_SERVED <= sum(p.size for page in pages for p in page.parcels) < MAX_SERVED + MAX_FRAME
    small = Peer(1, STRANGERS)
    small.hears(Summary((1,) * 16))
    most = small.hears(Exchange((), tuple(short_of(s.owner) for s in STRANGERS), last=False))
    assert sum(len(page.parcels) for page in most) == MAX_WANTS


def test_large_records_come_over_several_answers() -> None:
    large = [state_of(owner(n), *[2**50] * 4000) for n in range(2000, 2040)]
    left, right = Peer(1), Peer(4, large)
    meet(left, right)
    assert everything(left) == everything(right)


def test_a_neighbour_has_one_session_and_leaves_room_for_others() -> None:
    peer = Peer(1)
    for stream in range(1, 2 * MAX_SESSIONS, 2):
        assert peer.hears(Summary((1,) * 16), stream=stream)
    assert [key for key in peer.core.repair.sessions if key[0] == 2] == [(2, 2 * MAX_SESSIONS - 1)]
    assert peer.hears(Summary((1,) * 16), of=3)
    assert peer.core.repair.counts.broken == MAX_SESSIONS - 1


def test_sessions_of_others_are_bounded() -> None:
    peer = Peer(1)
    answered = []
    for neighbour in range(100, 101 + MAX_SESSIONS):
        peer.core.link_up(0, neighbour, False)
        answered.append(len(peer.hears(Summary((1,) * 16), of=neighbour)))
    assert answered == [1] * MAX_SESSIONS + [0]
    assert len(peer.core.repair.sessions) == MAX_SESSIONS
    assert peer.core.repair.counts.refused == 1


def test_a_session_lasts_as_long_as_something_comes() -> None:
    peer = Peer(1)
    stream, _ = peer.opens()
    known = [(at, tuple(sorted((short_of(s.owner), 1, 1, s.mark) for s in STRANGERS[:99]))) for at in (0,)]
    peer.hears(Entries(16, tuple(known)), stream=stream, now=SECOND)
    now = SECOND
    for state in STRANGERS[:5]:
        now += TIMEOUT - 1
        peer.core.repair.overdue(now)
        peer.hears(Exchange((Parcel.of(state.record()),), last=False), stream=stream, now=now)
    assert set(everything(peer)) == {state.owner for state in STRANGERS[:5]}
    peer.core.repair.overdue(now + TIMEOUT + 1)
    peer.hears(Exchange((Parcel.of(STRANGERS[9].record()),)), stream=stream, now=now + TIMEOUT + 1)
    assert len(everything(peer)) == 5


def test_entries_are_in_pages_that_fit_however_many_there_are() -> None:
    full = tuple((n.to_bytes(8, "big"), 2**32 - 1, 2**64 - 1, 2**32 - 1) for n in range(65_536))
    for groups in ([(at, full[at::512]) for at in range(512)], [(3, full)], [(2, ()), (9, full[:5000]), (10, ())]):
        pages = entry_pages(512, groups)
        assert all(len(encode(page)) == page.size < MAX_SIZE[SYNC] for page in pages)
        assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
        found: dict[int, tuple[Any, ...]] = {}
        for page in pages:
            decode(SYNC, encode(page))
            for at, entries in page.entries:
                found[at] = found.get(at, ()) + entries
        assert list(found.items()) == groups


@pytest.mark.parametrize("limit", [30, 100, 1000])
def test_a_bucket_that_goes_over_pages_is_compared_as_a_whole(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pubsub.repair.entry_pages", lambda count, groups: entry_pages(count, groups, limit))
    left, right = Peer(1, STRANGERS[:60]), Peer(4, STRANGERS[40:100])
    meet(left, right)
    assert everything(left) == everything(right)
    assert left.core.repair.counts.pushed == 40
    assert right.core.repair.counts.pushed == 40


def test_entries_that_nobody_asked_for_end_the_session() -> None:
    peer = Peer(1)
    stream, _ = peer.opens()
    assert not peer.hears(Entries(32, ()), stream=stream)
    assert not peer.core.repair.sessions
    assert peer.core.repair.counts.broken == 1


def test_two_headers_whose_roots_begin_alike_are_told_apart() -> None:
    who = owner(9)
    found: dict[int, OwnerState] = {}
    states = [state_of(who, tick) for tick in range(1, 200)]
    state, other = next((s, found[s.header.root[0]]) for s in states if found.setdefault(s.header.root[0], s) is not s)
    left, right = Peer(1, [state]), Peer(4, [other])
    meet(left, right)
    assert everything(left) == everything(right)


@pytest.mark.parametrize("as_frame", [False, True], ids=["session", "link"])
def test_two_headers_with_one_root_and_other_flags_are_evidence_and_one_of_them_wins(as_frame: bool) -> None:
    stays, leaves = state_of(owner(9), 1), state_of(owner(9), 1, flags=BYE)
    left, right = Peer(1, [stays]), Peer(4, [leaves])
    if as_frame:
        for peer, state in ((left, leaves), (right, stays)):
            peer.core.receive(0, 2, LINK, 0, Frame((Parcel.of(state.record()),), 0))
    else:
        meet(left, right)
    assert everything(left) == everything(right)
    assert left.core.acceptor.proofs or right.core.acceptor.proofs
    for peer in (left, right):
        assert peer.core.acceptor.consider(stays.record(), 0).verdict in (Verdict.DUPLICATE, Verdict.EQUIVOCATION)
        winner = max(stays, leaves, key=lambda state: state.header.rank)
        assert peer.core.ledger.get(stays.owner) == winner


def test_two_owners_with_one_short_form_are_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer(1)
    monkeypatch.setattr("pubsub.numbers.short_of", lambda key: b"collides")
    monkeypatch.setattr("pubsub.ledger.short_of", lambda key: b"collides")
    for state in STRANGERS[:2]:
        peer.core.ledger.commit(state)
    peer.core.ledger.forget(STRANGERS[0].owner, 10**12)
    stream, _ = peer.opens()
    pages = peer.hears(Entries(16, tuple((at, ()) for at in range(16))), stream=stream)
    assert STRANGERS[1].owner in [parcel.record.header.owner for page in pages for parcel in page.parcels]


def test_a_bad_signature_in_a_session_is_the_end_of_the_neighbour() -> None:
    peer = Peer(1)
    peer.hears(Summary((1,) * 16))
    state = STRANGERS[0]
    bad = Record(replace(state.header, signature=bytes(64)), state.record().parts, True)
    peer.hears(Exchange((Parcel.of(bad),)))
    assert 2 not in peer.core.links
    assert not peer.core.repair.sessions


def test_a_late_record_makes_the_next_sessions_come_soon_and_one_that_is_under_way_does_not() -> None:
    for age, soon in ((LATE_MS + 1, True), (LATE_MS, False)):
        late = replace(STRANGERS[0].header, hlc=(NOON + 60_000 - age) << 16).sign(owner(1000), DOMAIN)
        peer, other = Peer(1), Peer(4, [OwnerState(late, STRANGERS[0])])
        for _ in range(20):
            peer.core.repair.schedule(0)
        assert peer.core.repair.due > PERIOD // 2
        meet(peer, other)
        assert peer.core.repair.counts.moved == 1
        assert (peer.core.repair.due < SECOND) is soon


def test_a_session_that_breaks_off_makes_its_opener_try_again_soon() -> None:
    for is_own in (True, False):
        peer = Peer(1)
        for _ in range(20):
            peer.core.repair.schedule(0)
        if is_own:
            peer.opens()
        else:
            peer.hears(Summary((1,) * 16))
            assert peer.core.repair.sessions
        peer.core.repair.overdue(TIMEOUT + 1)
        assert not peer.core.repair.sessions
        assert (peer.core.repair.due < TIMEOUT + SECOND) is is_own


def test_sessions_that_do_not_go_on_keep_nobody_from_beginning_others() -> None:
    peer = Peer(1)
    peer.core.link_up(0, 5, False)
    repair, links = peer.core.repair, peer.core.links
    begun = [2, 3][:MAX_OWN]
    for neighbour in begun:
        peer.opens(of=neighbour)
    assert repair.choose(links, STALL) is None
    assert repair.choose(links, STALL + 1) == 5
    for (other, _), session in repair.sessions.items():
        session.since = STALL if other in begun else 0  # something has come of them
    assert repair.choose(links, STALL + 1) is None
    repair.overdue(STALL + TIMEOUT + 1)
    assert repair.choose(links, STALL + TIMEOUT + 1) in (2, 3, 5)


def test_a_frame_that_was_lost_makes_the_next_session_come_soon() -> None:
    for sent, soon in ((500, True), (0, False)):
        peer = Peer(1)
        for _ in range(20):
            peer.core.repair.schedule(0)
        peer.core.receive(0, 2, LINK, 0, Frame((), 1 << 18, sent=sent))
        assert (peer.core.repair.due < SECOND) is soon


def test_the_time_between_sessions_grows_where_nothing_is_missing() -> None:
    repair, now, pauses = Peer(1).core.repair, 0, []
    for _ in range(FAST_SESSIONS + 6):
        repair.schedule(now)
        pauses.append(repair.due - now)
        now = repair.due
    assert all(FAST * (1 - SPREAD) <= pause <= FAST * (1 + SPREAD) for pause in pauses[:FAST_SESSIONS])
    assert pauses[FAST_SESSIONS] > FAST * (1 + SPREAD)
    assert pauses[-1] >= PERIOD * (1 - SPREAD)


@pytest.mark.parametrize("longest", [FAST // 5, 2 * SECOND], ids=["shorter than the fast one", "shorter"])
def test_the_time_between_sessions_grows_to_what_the_parameters_say(longest: int) -> None:
    repair = replace(Peer(1).core.repair, longest=longest)
    for _ in range(FAST_SESSIONS + 6):
        repair.schedule(0, fast=repair.due == 0)
    assert longest * (1 - SPREAD) <= repair.due <= longest * (1 + SPREAD)


def test_a_new_link_makes_both_ends_look_soon_and_many_of_them_no_later() -> None:
    peer = Peer(1)
    for _ in range(20):
        peer.core.repair.schedule(0)
    peer.core.link_up(0, 4, False)
    due = peer.core.repair.due
    assert due < SECOND
    peer.core.link_up(due - 1, 5, True)
    assert peer.core.repair.due == due
