"""Peers that lie with records: the honest ones agree about each other, and in the end about the liars, too."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from machine import Machine, Schema, State
from pubsub import Domain, HybridClock, Identity, Publisher, merge
from pubsub.boundary import SECOND
from pubsub.events import Convicted
from pubsub.messages import Exchange, Frame, Parcel, SchemaAsk
from pubsub.parameters import Parameters
from pubsub.state import SharedMerge
from simulations.byzantine import Byzantine, Equivocate, Flooding, Forge, Hide, Replay
from simulations.checkers import Checker
from simulations.faults import storm
from simulations.gossip import DOMAIN, GossipNetwork
from simulations.liars import GossipForger, lying
from simulations.topic import Gossipsub
from simulations.topology import full

LIARS = (3, 8)
KINDS = [Forge, Equivocate, Hide, Replay, Flooding]


class Evidence(Checker):
    """Notes who was convicted."""

    def __init__(self) -> None:
        self.convicted: dict[bytes, None] = {}

    def notified(self, now: int, peer: int, event: object) -> None:
        if isinstance(event, Convicted):
            self.convicted[event.proof.owner] = None


def network(seed: int, kind: type[Byzantine], **options: Any) -> GossipNetwork:
    return GossipNetwork(
        seed=seed,
        peers=16,
        rate=20,
        liars={peer: lying(kind, DOMAIN) for peer in LIARS},
        replay=f"test_liars.network({seed}, {kind.__name__}, …)",
        **options,
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_honest_peers_agree_among_liars(kind: type[Byzantine], seed: int) -> None:
    town = network(seed, kind)
    town.run(20, 60)
    assert len(town.cores) == 16 - len(LIARS)
    liars = [town.simulation.nodes[peer] for peer in LIARS]
    assert all(isinstance(liar, Byzantine) and liar.tampered > 10 for liar in liars)


@pytest.mark.parametrize("kind", [Forge, Equivocate, Hide, Replay], ids=lambda kind: kind.__name__)
def test_they_do_on_the_topic(kind: type[Byzantine], seed: int) -> None:
    parameters = Parameters(eager=True, eager_rate=100)
    network(seed, kind, parameters=parameters, topic=Gossipsub()).run(10, 60)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_they_do_in_a_storm(kind: type[Byzantine], seed: int) -> None:
    network(seed, kind, faults=storm(seed, 16, 12 * SECOND, count=8), topology=full).run(12, 90)


def test_who_equivocates_is_convicted_and_nobody_else_is(seed: int) -> None:
    evidence = Evidence()
    town = network(seed, Equivocate, checkers=[evidence])
    town.run(12, 60)
    assert set(evidence.convicted) == {town.identities[peer].owner for peer in LIARS}


def test_a_forger_loses_its_neighbours(seed: int) -> None:
    town = network(seed, Forge)
    town.work(12)
    assert sum(core.counts.accused for core in town.cores) > 0


# -- the lies


def a_record() -> tuple[Publisher, Identity, Parcel]:
    identity = Identity(b"l" * 32)
    publisher = Publisher(identity, Domain("lies"), HybridClock(lambda: 1_700_000_000_000), 1)
    machine = Machine(Schema({"S": State(), "T": State()}), id="m")
    publisher.expose(machine)
    machine.add("S")
    record = publisher.flush()
    assert record is not None
    return publisher, identity, Parcel.of(record)


def test_a_forged_record_is_not_believed_and_an_equivocal_one_would_be(seed: int) -> None:
    publisher, identity, parcel = a_record()
    forger = GossipForger(identity, Domain("lies"), lambda: publisher.state)
    rng = random.Random(seed)
    for message in (parcel, Frame((parcel,), 0), Exchange((parcel,))):
        for _ in range(20):
            forged: Any = forger.forge(message, rng)
            (lie,) = getattr(forged, "parcels", (forged,))
            assert not lie.record.header.is_signed(Domain("lies")) or merge(None, lie.record) is None
            other: Any = forger.equivocate(message, rng)
            (lie,) = getattr(other, "parcels", (other,))
            assert lie.record.header.is_signed(Domain("lies"))
            assert lie.record.header.order == parcel.record.header.order
            assert merge(None, lie.record) != publisher.state


def test_of_what_holds_no_record_no_lie_is_made(seed: int) -> None:
    publisher, identity, parcel = a_record()
    forger = GossipForger(identity, Domain("lies"), lambda: publisher.state)
    ask, rng = SchemaAsk((bytes(16),)), random.Random(seed)
    assert forger.forge(ask, rng) is forger.equivocate(ask, rng) is forger.forge(Frame((), 0), rng) is None
    assert forger.hide(ask, rng) is ask
    shown = identity.owner[0] & 1 == 0
    assert forger.hide(Frame((parcel,), 0), rng) == Frame((parcel,) if shown else (), 0)
    assert forger.hide(parcel, rng) == (parcel if shown else None)


def test_a_body_that_does_not_fit_is_not_taken_for_the_one_that_did(seed: int) -> None:
    _, _, parcel = a_record()
    shared = SharedMerge()
    assert shared(None, parcel.record) is not None
    assert shared(None, replace(parcel.record, parts=())) is None
    assert shared(None, replace(parcel.record)) is shared(None, parcel.record)
