"""Neighbours that do not answer are suspected, and what is said about this peer is denied."""

from __future__ import annotations

from pubsub import Domain, Identity
from pubsub.boundary import NEVER, SECOND
from pubsub.detector import PING
from pubsub.hlc import stamp_of
from pubsub.ledger import Ledger
from pubsub.liveness import DENY_PAUSE, MAX_LOST, Liveness
from pubsub.members import Hearing, Status
from pubsub.membership import Membership
from pubsub.record import Header
from pubsub.state import OwnerState, root_of
from pubsub.suspicion import suspect

DOMAIN = Domain("test")
ME, ANNA, BEN = (Identity(bytes([n]) * 32) for n in range(1, 4))
NAMES = {"anna": ANNA.owner, "ben": BEN.owner}
NOON = 1_700_000_000_000  # ms


class Peer:
    """The liveness of a peer that knows itself, Anna and Ben."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        membership = Membership(ME, DOMAIN, self.ledger, lambda: NOON)
        self.live: Liveness[str] = Liveness(membership, self.ledger.order_of, NAMES.get)
        for identity in (ME, ANNA, BEN):
            self.publish(identity, 1)

    def publish(self, identity: Identity, version: int) -> None:
        header = Header(0, identity.owner, 1, version, stamp_of(NOON), 60, root_of(()))
        state = OwnerState(header.sign(identity, DOMAIN), {})
        self.ledger.commit(state)
        self.live.membership.heard(state, 0)

    def status(self, identity: Identity = ANNA) -> Status:
        return self.live.membership.status_of(identity.owner)


def test_a_silent_neighbour_is_asked_then_suspected_and_left() -> None:
    peer = Peer()
    peer.live.link_up("anna", 0)
    ben = peer.live.link_up("ben", 0)
    asked, now, found = 0, 0, peer.live.look(0)
    while peer.status() is Status.ALIVE:
        now = peer.live.due
        ben.heard(now)
        found = peer.live.look(now)
        asked += found.ask.count("anna")
    assert asked >= 6
    assert now < 9 * SECOND
    assert (found.silent, [s.target for s in found.suspicions]) == (["anna"], [ANNA.owner])
    assert found.suspicions[0].since == NOON // 1000 - 9  # by whole seconds, the earlier one
    assert peer.status(BEN) is Status.ALIVE
    assert len(peer.live.detectors) == 1


def test_a_neighbour_whose_connection_broke_is_suspected_when_it_cannot_be_dialled() -> None:
    peer = Peer()
    peer.live.link_up("anna", 0)
    assert peer.live.link_down("anna", SECOND) is None
    assert peer.status() is Status.ALIVE
    suspicion = peer.live.link_down("anna", 3 * SECOND)
    assert suspicion is not None
    assert suspicion.target == ANNA.owner
    assert peer.live.link_down("anna", 6 * SECOND) is None  # it has been said


def test_who_publishes_meanwhile_is_not_suspected() -> None:
    peer = Peer()
    peer.live.link_up("anna", 0)
    peer.live.link_down("anna", SECOND)
    peer.publish(ANNA, 2)
    assert peer.live.link_down("anna", 3 * SECOND) is None
    assert peer.status() is Status.ALIVE
    assert peer.live.link_down("anna", 9 * SECOND) is not None  # nothing more since


def test_who_comes_back_is_not_suspected() -> None:
    peer = Peer()
    peer.live.link_up("anna", 0)
    peer.live.link_down("anna", SECOND)
    peer.live.link_up("anna", 2 * SECOND)
    assert peer.live.link_down("anna", 3 * SECOND) is None
    assert peer.status() is Status.ALIVE


def test_a_dial_that_fails_says_nothing_about_a_stranger_or_somebody_we_left() -> None:
    peer = Peer()
    assert peer.live.link_down("anna", 0) is None
    assert peer.live.link_down("nobody", 0) is None
    peer.live.link_up("anna", 0)
    peer.live.hung_up("anna")
    assert peer.live.link_down("anna", SECOND) is None
    assert peer.status() is Status.ALIVE


def test_a_neighbour_that_is_no_known_owner_is_only_left() -> None:
    peer = Peer()
    peer.live.link_up("nobody", 0)
    found = peer.live.look(0)
    while not found.silent:
        found = peer.live.look(peer.live.due)
    assert found.suspicions == []


def test_what_is_said_about_us_is_denied_at_once_and_then_rarely() -> None:
    peer = Peer()
    assert peer.live.deny_due == NEVER
    assert peer.live.hear(suspect(ANNA, DOMAIN, ME.owner, (1, 1), 0), 10 * SECOND) is Hearing.OURSELVES
    assert peer.live.deny_due == peer.live.due == 10 * SECOND
    peer.publish(ME, 2)
    peer.live.published(10 * SECOND, (1, 2))
    assert peer.live.deny_due == NEVER
    assert peer.live.hear(suspect(ANNA, DOMAIN, ME.owner, (1, 1), 0), 10 * SECOND) is Hearing.REFUTED
    assert peer.live.deny_due == NEVER
    peer.live.hear(suspect(BEN, DOMAIN, ME.owner, (1, 2), 0), 10 * SECOND + 1)
    assert peer.live.deny_due == 10 * SECOND + DENY_PAUSE
    assert peer.live.denied == 2


def test_nothing_is_due_where_nothing_is() -> None:
    peer = Peer()
    assert peer.live.due == NEVER
    peer.live.link_up("anna", 0)
    assert peer.live.due == PING


def test_what_is_kept_of_lost_neighbours_is_bounded() -> None:
    peer = Peer()
    for n in range(MAX_LOST + 10):
        peer.live.link_up(str(n), n)
        peer.live.link_down(str(n), n)
    assert len(peer.live._lost) == MAX_LOST
    peer.live.forget(str(MAX_LOST))
    assert len(peer.live._lost) == MAX_LOST - 1
