"""Schemas travel once, by their hash, and come to everybody who needs them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from machine import Schema, State
from pubsub import catalog
from pubsub.boundary import NEVER, SECOND
from pubsub.catalog import FIRST_RETRY, MAX_ASK, RETRY, TIMEOUT, Catalog
from pubsub.messages import MAX_FRAME, Bodies, SchemaAsk
from pubsub.schemas import encode_schema, hash_of_body, schema_hash
from simulations.conditions import Conditions
from simulations.faults import Crash, Heal, Partition, Restart
from simulations.gossip import GossipNetwork
from simulations.simulation import Verb

DOOR = Schema({"Open": State(remove="Closed"), "Closed": State(auto=True, remove="Open", after="Open")})


# -- asking and serving


def numbered(count: int, tags: Iterable[str] = ()) -> list[Schema]:
    return [Schema({f"S{i}": State(tags=tags)}) for i in range(count)]


class Shelf:
    """A catalog, with what it needs, and what it asks."""

    def __init__(self, *own: Schema) -> None:
        self.needed: set[bytes] = set()
        self.catalog: Catalog[str] = Catalog(random.Random(1), lambda: self.needed)
        self.stream = 0
        for schema in own:
            self.needed.add(self.catalog.own(schema))

    def want(self, *hashes: bytes, source: str | None = None, now: int = 0) -> None:
        self.needed.update(hashes)
        self.catalog.want(hashes, source, now)

    def ask(self, now: int, *peers: str) -> dict[str, tuple[int, tuple[bytes, ...]]]:
        """Return whom it asks for what, with the number of the session."""
        asked = {}
        for peer, ask in self.catalog.ask(now, peers):
            self.stream += 1
            self.catalog.begin(peer, self.stream, ask, now)
            asked[peer] = (self.stream, ask.hashes)
        return asked


def test_who_spoke_of_it_is_asked_first_then_two_others_then_nobody_for_a_while() -> None:
    shelf, wanted = Shelf(), schema_hash(DOOR)
    shelf.want(wanted, source="b")
    peers = ("a", "b", "c", "d", "e")
    asked: list[str] = []
    for now in range(3):
        assert shelf.catalog.due <= now
        ((peer, (stream, hashes)),) = shelf.ask(now, *peers).items()
        assert hashes == (wanted,)
        assert shelf.catalog.learn(peer, stream, Bodies(()), now) == []
        asked.append(peer)
    assert asked[0] == "b"
    assert len(set(asked)) == 3
    assert shelf.ask(3, *peers) == {}
    assert shelf.catalog.due == 2 + FIRST_RETRY
    assert (shelf.catalog.counts.missing, shelf.catalog.counts.given_up) == (3, 1)
    pauses = []
    for _ in range(7):
        then = now = shelf.catalog.due
        for _ in range(3):
            ((peer, (stream, _)),) = shelf.ask(now, *peers).items()
            shelf.catalog.learn(peer, stream, Bodies(()), now)
        pauses.append(shelf.catalog.due - then)
    assert pauses == [s * SECOND for s in (2, 4, 8, 10, 10, 10, 10)]


def test_what_nobody_needs_any_more_is_not_asked_for_again() -> None:
    shelf = Shelf()
    shelf.want(schema_hash(DOOR))
    assert shelf.ask(0) == {}  # there is nobody
    shelf.needed.clear()
    assert shelf.ask(RETRY, "a") == {}
    assert (shelf.catalog.wanted, shelf.catalog.due) == (0, NEVER)


def test_a_new_neighbour_is_asked_for_what_others_did_not_know() -> None:
    shelf = Shelf()
    shelf.want(schema_hash(DOOR))
    ((peer, (stream, _)),) = shelf.ask(0, "a").items()
    shelf.catalog.learn(peer, stream, Bodies(()), 1)
    assert shelf.ask(1, "a") == {}
    shelf.catalog.linked(2)
    assert list(shelf.ask(2, "b")) == ["b"]


@pytest.mark.parametrize("how", ["silent", "gone"])
def test_who_does_not_answer_is_replaced(how: str) -> None:
    shelf = Shelf()
    shelf.want(schema_hash(DOOR), source="a")
    assert list(shelf.ask(0, "a", "b")) == ["a"]
    assert shelf.catalog.due == TIMEOUT
    if how == "gone":
        shelf.catalog.unlinked("a", 1)
    now = shelf.catalog.due
    assert now == (TIMEOUT if how == "silent" else 1)
    assert list(shelf.ask(now, "a", "b")) == ["b"]


def test_many_schemas_come_in_pages_and_sessions_are_bounded() -> None:
    everything = numbered(100, tags=["x" * 9000])
    library, shelf = Shelf(*everything), Shelf()
    shelf.want(*map(schema_hash, everything), source="a")
    now = 0
    while asked := shelf.ask(now, "a"):
        ((peer, (stream, hashes)),) = asked.items()
        assert len(hashes) <= MAX_ASK
        pages = library.catalog.answer("me", SchemaAsk(hashes), now)
        assert len(pages) > 1 or len(hashes) < MAX_ASK
        assert all(page.size <= MAX_FRAME + 100 for page in pages)
        assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
        known = [k.hash for page in pages for k in shelf.catalog.learn(peer, stream, page, now)]
        assert set(known) == set(hashes)
        now += SECOND
    assert shelf.catalog.schemas == {schema_hash(s): s for s in everything}
    assert shelf.catalog.counts.learned == 100


def test_who_asks_for_too_much_is_left_unanswered() -> None:
    everything = numbered(MAX_ASK, tags=["x" * 60_000])
    library, ask = Shelf(*everything), SchemaAsk(tuple(map(schema_hash, everything)))
    served = [bool(library.catalog.answer("a", ask, 0)) for _ in range(9)]
    assert 0 < sum(served) < 4
    assert library.catalog.answer("b", ask, 0)
    assert library.catalog.answer("a", ask, 10 * SECOND)
    assert not library.catalog.answer("c", SchemaAsk(ask.hashes * 2), 0)


def test_bad_bodies_are_counted_and_nothing_else() -> None:
    shelf = Shelf()
    stray = encode_schema(Schema({"A": State()}))
    nonsense = stray.replace(b"\x01A", b"\x01?")
    shelf.want(schema_hash(DOOR), hash_of_body(nonsense), source="a")
    ((peer, (stream, _)),) = shelf.ask(0, "a").items()
    told = shelf.catalog.learn(peer, stream, Bodies((stray, nonsense, b"", encode_schema(DOOR))), 1)
    assert [k.hash for k in told] == [schema_hash(DOOR)]
    counts = shelf.catalog.counts
    assert (counts.unasked, counts.bad, counts.learned) == (2, 1, 1)
    assert shelf.catalog.due == 1 + RETRY
    assert shelf.catalog.learn(peer, stream, Bodies(()), 2) == []  # the session is over
    assert shelf.catalog.learn("b", stream, Bodies((encode_schema(DOOR),)), 2) == []
    assert counts.misplaced == 2


def test_memory_is_bounded_and_what_nobody_needs_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MAX_TOTAL", 1000)
    monkeypatch.setattr(catalog, "MAX_WANTED", 8)
    everything = numbered(40)
    library, shelf = Shelf(*everything), Shelf(DOOR)

    def fetch(*schemas: Schema, now: int) -> None:
        shelf.want(*map(schema_hash, schemas), source="a", now=now)
        while asked := shelf.ask(now, "a"):
            for peer, (stream, hashes) in asked.items():
                for page in library.catalog.answer("me", SchemaAsk(hashes), now):
                    shelf.catalog.learn(peer, stream, page, now)

    fetch(*everything, now=0)
    assert shelf.catalog.counts.overflown > 0
    assert shelf.catalog.counts.crowded > 0
    full = set(shelf.catalog.schemas)
    assert sum(len(encode_schema(s)) for s in shelf.catalog.schemas.values()) <= 1000
    left_out = next(s for s in everything if schema_hash(s) not in full)
    shelf.needed = {schema_hash(DOOR), schema_hash(left_out)}
    fetch(left_out, now=2 * RETRY)
    assert shelf.catalog.schemas == {schema_hash(DOOR): DOOR, schema_hash(left_out): left_out}


# -- in a network


STORM: list[tuple[int, Verb]] = [
    (0, Partition(range(8))),
    (5 * SECOND, Heal()),
    (6 * SECOND, Crash(3)),
    (9 * SECOND, Restart(3)),
]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="kind"),
        pytest.param({"conditions": Conditions(loss=0.2)}, id="20 % loss"),
        pytest.param({"conditions": Conditions(duplicate=0.2, reorder=0.2), "faults": STORM}, id="storm"),
    ],
)
def test_everybody_learns_every_schema(options: dict[str, Any], seed: int) -> None:
    network = GossipNetwork(seed=seed, peers=20, rate=10, own_schemas=True, **options)
    network.run(10, 120)  # a checker compares the catalogs at the end
    cores: list[Any] = list(network.simulation.nodes)
    assert all(len(core.catalog.schemas) == 20 for core in cores)
    assert all(core.catalog.wanted == 0 for core in cores)
