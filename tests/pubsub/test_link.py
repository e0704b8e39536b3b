"""A link tells its neighbour what it has not said itself, once, and no more than it takes."""

from __future__ import annotations

import random

import pytest

from pubsub.identity import Domain, Identity
from pubsub.link import WINDOW, Item, Link
from pubsub.messages import Frame, Parcel
from simulations.fuzz import a_life

LIFE = a_life(random.Random(7), Identity(bytes(range(32))), Domain("links"), 1, 3)
NEWEST = LIFE[-1]
PARCEL = Parcel.of(NEWEST.record())
BATCH: list[Item] = [(0, None, PARCEL)]
TAU = 100_000


def flushed(link: Link, now: int, batch: list[Item], total: int) -> Frame | None:
    return link.flush(now, batch, total, lambda number, before: PARCEL)


@pytest.mark.parametrize("total", [PARCEL.size, 2**40], ids=["at once", "by the backlog"])
def test_what_a_neighbour_said_is_not_told_to_it_though_something_else_was_meanwhile(total: int) -> None:
    link = Link(TAU, 0)
    link.said[0] = NEWEST.header.order
    link.want(bytes(8), 0)
    other = flushed(link, TAU, [], 0)
    assert other is not None
    assert other.wants == (bytes(8),)
    assert flushed(link, 2 * TAU, BATCH, total) is None
    assert not link.backlog


@pytest.mark.parametrize("total", [PARCEL.size, 2**40], ids=["at once", "by the backlog"])
def test_a_neighbour_that_said_something_older_is_told(total: int) -> None:
    link = Link(TAU, 0)
    link.said[0] = LIFE[0].header.order
    frame = flushed(link, TAU, BATCH, total)
    assert frame is not None
    assert frame.parcels == (PARCEL,)


def test_without_a_grant_a_link_keeps_one_entry_an_owner_and_goes_on_with_the_next_grant() -> None:
    link, sent, now = Link(TAU, 0), 0, 0
    while sent + PARCEL.size <= WINDOW:
        now += TAU
        assert flushed(link, now, BATCH, PARCEL.size) is not None
        sent += PARCEL.size
    for _ in range(3):
        now += TAU
        assert flushed(link, now, BATCH, PARCEL.size) is None
    assert list(link.backlog) == [0]
    assert link.counts.held == 3
    link.take(Frame((), WINDOW + PARCEL.size), now)
    frame = flushed(link, now + TAU, [], 0)
    assert frame is not None
    assert frame.parcels == (PARCEL,)
    assert not link.backlog


def test_what_is_lost_or_repeated_takes_no_credit_along() -> None:
    ours, theirs, now, lost = Link(TAU, 0), Link(TAU, 0), 0, 0
    for number in range(8 * WINDOW // PARCEL.size):
        now += TAU
        frame = flushed(ours, now, BATCH, PARCEL.size)
        assert frame is not None
        assert frame.parcels == (PARCEL,)
        if number % 5:
            assert theirs.take(frame, now) is (number % 5 == 1), "it is torn right after one that was lost"
            assert not theirs.take(frame, now)
        else:
            lost += PARCEL.size
        back = flushed(theirs, now, [], 0)
        if back is not None:
            ours.take(back, now)
    assert lost > WINDOW
    assert ours.counts.held == 0
    assert theirs._received <= ours._sent
