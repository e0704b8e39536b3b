"""Lazy links: a record comes twice, and who does not get it asks those that have it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub.boundary import LINK, NEVER
from pubsub.identity import Domain, Identity, short_of
from pubsub.lazy import GRAIN, KEEP, MAX_CLAIMS, WAIT, Lazy, Marks
from pubsub.link import HAVING, WINDOW, Item, Link
from pubsub.messages import MAX_HAVES, MAX_PRUNES, Frame, Parcel
from pubsub.parameters import Parameters
from simulations.conditions import Conditions
from simulations.faults import Crash
from simulations.fuzz import a_life
from simulations.gossip import GossipNetwork
from simulations.topology import regular

OWNER = Identity(bytes(range(32)))
LIFE = a_life(random.Random(7), OWNER, Domain("links"), 1, 6)
SHORT = short_of(OWNER.owner)
PARCELS = [Parcel.of(state.record(full=False, since=before)) for before, state in itertools.pairwise(LIFE)]
BATCHES: list[list[Item]] = [[(0, before, parcel)] for before, parcel in zip(LIFE, PARCELS, strict=False)]
TAU = 100_000


def flushed(link: Link, now: int, batch: list[Item]) -> Frame | None:
    return link.flush(now, batch, sum([parcel.size for _, _, parcel in batch]), lambda number, before: PARCELS[-1])


# -- marks


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=50))
def test_marks_are_a_set_of_numbers(steps: Sequence[tuple[bool, int]]) -> None:
    marks, model = Marks(), set[int]()
    for is_new, number in steps:
        if is_new:
            marks.add(number)
            model.add(number)
        else:
            marks.discard(number)
            model.discard(number)
        assert [n for n in range(310) if n in marks] == sorted(model)
    assert not model or marks


# -- a link


def test_of_what_a_neighbour_has_pruned_it_is_told_what_there_is_and_only_the_newest() -> None:
    link = Link(TAU, 0)
    link.lazy.add(0)
    assert flushed(link, 0, BATCHES[0]) is None
    assert link.due == HAVING
    assert flushed(link, 50_000, BATCHES[1]) is None
    frame = flushed(link, HAVING, [])
    assert frame is not None
    newest = PARCELS[1].record.header
    assert (frame.parcels, frame.haves) == ((), ((SHORT, newest.epoch, newest.version),))
    assert (link.due, link.counts.haves_out, link.counts.records_out) == (NEVER, 1, 0)


def test_a_have_goes_along_with_whatever_goes_first() -> None:
    link = Link(TAU, 0)
    link.lazy.add(0)
    other = (1, None, PARCELS[4])
    frame = flushed(link, 0, [*BATCHES[0], other])
    assert frame is not None
    assert (frame.parcels, len(frame.haves)) == ((PARCELS[4],), 1)


def test_who_asks_is_sent_records_again() -> None:
    link = Link(TAU, 0)
    link.lazy.add(0)
    assert flushed(link, 0, BATCHES[0]) is None
    link.unprune(0)
    frame = flushed(link, 1000, BATCHES[1])
    assert frame is not None
    assert (frame.parcels, frame.haves) == ((PARCELS[1],), ())


@pytest.mark.parametrize("total", [1, 2**40], ids=["at once", "by the backlog"])
def test_what_begins_an_epoch_is_sent_to_all(total: int) -> None:
    link, whole = Link(TAU, 0), Parcel.of(LIFE[2].record())
    link.lazy.add(0)
    frame = link.flush(0, [(0, None, whole)], total, lambda number, before: whole)
    assert frame is not None
    assert (frame.parcels, frame.haves) == ((whole,), ())


def test_a_neighbour_that_has_it_is_not_told_that_it_is_there() -> None:
    link = Link(TAU, 0)
    link.lazy.add(0)
    link.said[0] = PARCELS[0].record.header.order
    assert flushed(link, 0, BATCHES[0]) is None
    assert not link.haves


def test_haves_need_credit_like_records_and_wait_for_it() -> None:
    link, now, sent = Link(TAU, 0), 0, 0
    link.lazy.add(0)
    while True:
        assert flushed(link, now, BATCHES[now // TAU % 5]) is None
        now += TAU
        frame = flushed(link, now, [])
        if frame is None:
            break
        assert frame.load > 0
        sent += frame.load
    assert WINDOW - 20 < sent <= WINDOW
    assert len(link.haves) == 1
    assert link.due > now, "it would be woken again and again"
    link.take(Frame((), 2 * WINDOW), now)
    assert flushed(link, link.due, []) is not None
    assert not link.haves


def test_what_does_not_fit_in_a_frame_goes_with_the_next() -> None:
    link = Link(TAU, 0)
    for number in range(MAX_HAVES + 7):
        link.lazy.add(number)
    for at in range(MAX_PRUNES + 9):
        link.prune(at.to_bytes(8, "big"), 0)
    assert flushed(link, 0, [(number, None, PARCELS[0]) for number in range(MAX_HAVES + 7)]) is not None
    first, second = flushed(link, link.due, []), flushed(link, link.due + TAU, [])
    assert first is not None
    assert len(first.prunes) + len(first.haves) > 0
    while second is not None:
        assert len(second.haves) <= MAX_HAVES
        assert len(second.prunes) <= MAX_PRUNES
        second = flushed(link, link.due, [])
    assert link.counts.haves_out == MAX_HAVES + 7
    assert not link.prunes


# -- what comes


def test_the_third_copy_is_one_too_many_and_each_of_a_peers_own() -> None:
    lazy: Lazy[int] = Lazy()
    lazy.came(3, (1, 1))
    assert [lazy.came_again(3) for _ in range(4)] == [False] * (KEEP - 1) + [True] * (5 - KEEP)
    lazy.came(3, (1, 2))
    assert not lazy.came_again(3)
    lazy.ours(5)
    assert lazy.came_again(5)
    assert not lazy.came_again(70), "nothing of that owner has come, so far"
    assert not Lazy[int](prunes=False).came_again(3)


def test_what_does_not_come_is_asked_for_one_neighbour_after_the_other() -> None:
    lazy: Lazy[str] = Lazy()
    asked: list[tuple[int, str]] = []

    def want(number: int, peer: str) -> bool:
        asked.append((number, peer))
        return peer != "gone"

    for peer in ("gone", "anna", "ben", "carl", "dora"):
        lazy.expect(3, (1, 2), peer, 0, 10_000)
    assert WAIT + 20_000 <= lazy.due < WAIT + 20_000 + GRAIN
    lazy.overdue(lazy.due - 1, 10_000, want)
    assert asked == []
    while lazy.due < NEVER:
        lazy.overdue(lazy.due, 10_000, want)
    assert asked == [(3, "gone"), (3, "anna"), (3, "ben"), (3, "carl")][:MAX_CLAIMS]
    assert (lazy.counts.awaited, lazy.counts.grafted, lazy.counts.gone) == (1, 3, 1)


def test_what_comes_is_not_asked_for_and_who_boasts_is_alone_asked_for_it() -> None:
    lazy: Lazy[str] = Lazy()
    lazy.expect(3, (1, 2), "anna", 0, 0)
    lazy.expect(3, (9, 9), "liar", 0, 0)
    lazy.expect(4, (1, 1), "anna", 0, 0)
    lazy.came(3, (1, 2))
    lazy.came(4, (1, 1))
    asked: list[str] = []

    def want(number: int, peer: str) -> bool:
        asked.append(peer)
        return True

    lazy.overdue(lazy.due, 0, want)
    lazy.overdue(1 << 40, 0, want)
    assert asked == ["liar"]
    lazy.expect(5, (1, 1), "anna", 0, 0)
    lazy.forget(5)
    lazy.overdue(1 << 41, 0, want)
    assert asked == ["liar"]


# -- a network


def network(seed: int, *, lazy: bool = True, loss: float = 0.0) -> GossipNetwork:
    made = GossipNetwork(
        seed=seed,
        peers=14,
        rate=60,
        warm=True,
        parameters=Parameters(lazy=lazy),
        conditions=Conditions(loss=loss),
        topology=regular(8),
    )
    made.settle(2)
    made.work(3)  # the ways of all owners are found
    made.settle(0.5)
    return made


def test_records_come_about_twice_where_they_came_once_on_each_link(seed: int) -> None:
    copies = []
    for lazy in (False, True):
        made = network(seed, lazy=lazy)
        made.work(2)
        report = made.report()
        copies.append(report.records / report.commits)
    assert copies[0] > 4
    assert copies[1] < 2.6


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_network_of_lazy_links_agrees_though_nothing_repairs_it(seed: int, loss: float) -> None:
    made = GossipNetwork(
        seed=seed,
        peers=14,
        rate=40,
        warm=True,
        parameters=Parameters(repair=loss > 0, repair_period=60_000_000),
        conditions=Conditions(loss=loss),
        topology=regular(8),
    )
    made.settle(2)
    made.work(8)
    assert made.until(lambda: not made.spread.behind, 30) is not None
    lazies = [core.links.lazy.counts for core in made.cores]
    assert sum(counts.pruned for counts in lazies) > 0
    if loss:
        assert sum(counts.grafted for counts in lazies) > 0


def test_the_ways_mend_themselves_when_those_who_passed_records_on_are_gone(seed: int) -> None:
    made = network(seed)
    for peer in (1, 2, 3):
        made.simulation.at(made.simulation.now, Crash(peer))
    made.work(5)
    took = made.until(lambda: not made.spread.behind, 10)
    assert took is not None


def test_haves_and_prunes_of_nobody_are_counted_and_change_nothing(seed: int) -> None:
    made = network(seed)
    core = made.cores[0]
    peer = next(iter(core.links))
    strangers = tuple([bytes([n]) * 8 for n in range(200)])
    before = dict(core.ledger.items())
    lie = Frame((), 1 << 30, prunes=strangers, haves=tuple([(short, 1, 1) for short in strangers]))
    for _ in range(20):
        core.receive(made.simulation.now, peer, LINK, 0, lie)
    assert core.links.lazy.counts.unknown == 2 * 20 * len(strangers)
    assert len(core.links[peer].wants) <= 512
    assert dict(core.ledger.items()) == before
