"""Who may begin a handshake, and which addresses are remembered: bounded, counted, and fair to who waits."""

from __future__ import annotations

import random

import pytest
from multiaddr import Multiaddr

from pubsub.transport.book import MAX_ADDRESSES, Book
from pubsub.transport.counts import TransportCounts
from pubsub.transport.door import (
    AT_ONCE,
    BURST,
    EVERYBODY,
    MAX_CALLERS,
    RATE,
    STRANGERS,
    TOGETHER,
    Door,
    Visit,
    caller_of,
)


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(clock: Clock) -> Door:
    return Door(TransportCounts(), clock)


def let_in(door: Door, host: str, count: int) -> list[Visit]:
    visits = [door.enter(host) for _ in range(count)]
    return [visit for visit in visits if visit is not None]


def test_of_one_address_so_many_strangers_are_let_in_at_a_time_and_of_another_one_too(door: Door) -> None:
    visits = let_in(door, "192.0.2.1", AT_ONCE + 5)
    assert len(visits) == AT_ONCE
    assert door.counts.crowded == 5
    assert len(let_in(door, "192.0.2.2", 3)) == 3
    visits[0].end()
    assert door.enter("192.0.2.1") is not None
    assert door.enter("192.0.2.1") is None


def test_who_has_proven_itself_takes_no_place_of_strangers(door: Door, clock: Clock) -> None:
    for visit in let_in(door, "192.0.2.1", AT_ONCE):
        visit.prove()
        visit.prove()  # again: nothing
    assert door.strangers == 0
    assert door.everybody == AT_ONCE
    assert len(let_in(door, "192.0.2.1", AT_ONCE)) == AT_ONCE
    assert door.counts.crowded == 0


def test_after_a_burst_so_many_are_let_in_in_a_second(door: Door, clock: Clock) -> None:
    for _ in range(BURST):
        visit = door.enter("192.0.2.1")
        assert visit is not None
        visit.end()
    assert door.enter("192.0.2.1") is None
    assert door.counts.too_fast == 1
    assert door.enter("192.0.2.2") is not None
    clock.at += 2.0
    assert len(let_in(door, "192.0.2.1", 100)) == 2 * RATE
    assert door.counts.unproven == BURST


def test_all_together_are_bounded_and_those_who_end_make_room(door: Door) -> None:
    visits = [visit for number in range(STRANGERS // 4 + 1) for visit in let_in(door, f"192.0.2.{number}", 4)]
    assert len(visits) == STRANGERS
    for visit in visits:
        visit.prove()
    more = [visit for number in range(100, 200) for visit in let_in(door, f"192.0.2.{number}", 4)]
    assert len(visits) + len(more) == door.everybody == EVERYBODY
    for visit in visits + more:
        visit.end()
        visit.end()  # again: nothing
    assert (door.strangers, door.everybody, door.counts.unproven) == (0, 0, len(more))


def test_no_address_takes_all_the_places_even_if_all_of_it_have_proven_themselves(door: Door, clock: Clock) -> None:
    for _ in range(2 * TOGETHER):
        clock.at += 1 / RATE
        visit = door.enter("192.0.2.1")
        if visit is not None:
            visit.prove()
    assert door.everybody == door.counts.crowded == TOGETHER
    assert door.enter("192.0.2.2") is not None


def test_addresses_without_end_are_not_remembered_without_end(door: Door, seed: int) -> None:
    rng = random.Random(seed)
    inside = let_in(door, "198.51.100.1", AT_ONCE)
    for _ in range(2 * MAX_CALLERS):
        visit = door.enter(str(caller_of(f"2001:db8:{rng.randrange(65536):x}:{rng.randrange(65536):x}::1")))
        assert visit is not None
        visit.end()
    assert len(door._callers) <= MAX_CALLERS
    assert door.enter("198.51.100.1") is None  # those inside are not forgotten
    assert len(inside) == AT_ONCE


@pytest.mark.parametrize(
    ("host", "caller"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somebody", "somebody"),
    ],
)
def test_a_network_of_ipv6_counts_as_one(host: str, caller: str) -> None:
    assert caller_of(host) == caller


def address(number: int) -> Multiaddr:
    return Multiaddr(f"/ip4/127.0.0.1/tcp/{number}")


def test_a_book_remembers_so_many_addresses_of_so_many_peers_and_those_that_are_dialled_longest() -> None:
    book = Book(max_peers=3)
    for number in range(1, MAX_ADDRESSES + 3):
        book.learn(b"first", address(number))
    assert book.of(b"first") == tuple(address(number) for number in range(MAX_ADDRESSES + 2, 2, -1))
    for number in range(100):
        book.learn(b"%d" % number, address(9))
        assert book.look_up(b"first")
    assert len(book) == 3
    assert book.forgotten == 98
    assert book.of(b"0") == book.look_up(b"0") == ()
    assert book.of(b"99") == (address(9),)
