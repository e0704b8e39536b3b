"""P4, liveness: from silence on links, and connections that fail, to suspicions; and to the denial of those about us.

A neighbour is suspected when phi of its link is above the threshold; or when its connection broke and it cannot be
dialled, unless it has published since: then others hear of it, and only the way from here is broken. Whoever hears of a
suspicion about itself says so with its next record; if there is none to come, an empty one does, but not too often.

All that is needed a frame is `Detector.heard`, and a record, `Membership.heard`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pubsub.boundary import NEVER, SECOND
from pubsub.detector import Detector, Detectors
from pubsub.ledger import Order
from pubsub.members import Hearing
from pubsub.membership import Membership
from pubsub.suspicion import Suspicion

DENY_PAUSE = SECOND  # between two records that do nothing but deny
MAX_LOST = 1024  # neighbours whose connections broke

P = TypeVar("P", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Findings(Generic[P]):
    """What a look at all links found.

    Attributes:
        ask: neighbours to ping.
        silent: neighbours to hang up on, and to dial again. They are not watched any more.
        suspicions: to be passed on to all other neighbours.
    """

    ask: list[P]
    silent: list[P]
    suspicions: list[Suspicion]


class Liveness(Generic[P]):
    """One peer's links, as a witness.

    Args:
        membership: takes what is found here, and what others say.
        order_of: (epoch, version) of the newest record of an owner.
        owner_of: the owner that a neighbour is; None if that is not known: then nobody is suspected.

    Attributes:
        deny_due: when to publish a record only to deny, us; NEVER: not.
        denied: suspicions about this peer that were heard.
    """

    def __init__(
        self,
        membership: Membership,
        order_of: Callable[[bytes], Order | None],
        owner_of: Callable[[P], bytes | None] | None = None,
    ) -> None:
        self.membership = membership
        self.detectors: Detectors[P] = Detectors()
        self.deny_due = NEVER
        self.denied = 0
        self._published = -DENY_PAUSE
        self._order_of = order_of
        self._owner_of = owner_of
        self._lost: dict[P, tuple[int, Order | None]] = {}  # when it was heard last, us; its newest record then

    @property
    def due(self) -> int:
        """When to call `look` and `Membership.expire`, or to deny, us."""
        return min(self.detectors.due, self.membership.due, self.deny_due)

    def link_up(self, peer: P, now: int) -> Detector:
        """Watch a new link; return its detector, which is to be told of every frame."""
        self._lost.pop(peer, None)
        return self.detectors.link_up(peer, now)

    def link_down(self, peer: P, now: int) -> Suspicion | None:
        """Note a connection that broke, or a dial that failed; return the suspicion that comes of it."""
        detector = self.detectors.link_down(peer)
        if detector is None:
            return self._unreachable(peer, now)
        self._lose(peer, detector.last)
        return None

    def hung_up(self, peer: P) -> None:
        """Note that this peer ended a connection itself: that says nothing about the other one."""
        self.detectors.link_down(peer)
        self._lost.pop(peer, None)

    def look(self, now: int) -> Findings[P]:
        """Look at all links: whom to ask, and who does not answer any more."""
        ask, silent = self.detectors.look(now)
        suspicions = []
        for peer in silent:
            detector = self.detectors.link_down(peer)
            assert detector is not None
            self._lose(peer, detector.last)
            suspicion = self._accuse(peer, detector.last, now)
            if suspicion is not None:
                suspicions.append(suspicion)
        return Findings(ask, silent, suspicions)

    def hear(self, suspicion: Suspicion, now: int) -> Hearing:
        """Judge a suspicion of a neighbour or of the topic; one about this peer sets `deny_due`."""
        hearing = self.membership.hear(suspicion, now)
        if hearing is Hearing.OURSELVES:
            self.denied += 1
            self.deny_due = min(self.deny_due, max(now, self._published + DENY_PAUSE))
        return hearing

    def published(self, now: int, order: Order) -> None:
        """Note that this peer has published, whatever for: that denies what was said before.

        But not what was said of this very (epoch, version), before there was such a record.
        """
        self._published = now
        self.deny_due = NEVER
        if self.membership.published(order):
            self.denied += 1
            self.deny_due = now + DENY_PAUSE

    def forget(self, peer: P) -> None:
        """Drop what is kept about a neighbour that will not be dialled any more."""
        self._lost.pop(peer, None)

    def _lose(self, peer: P, last: int) -> None:
        owner = self._owner_of(peer) if self._owner_of is not None else None
        self._lost.pop(peer, None)
        self._lost[peer] = (last, self._order_of(owner) if owner is not None else None)
        if len(self._lost) > MAX_LOST:
            del self._lost[next(iter(self._lost))]

    def _unreachable(self, peer: P, now: int) -> Suspicion | None:
        lost = self._lost.get(peer)
        owner = self._owner_of(peer) if self._owner_of is not None else None
        if lost is None or owner is None:
            return None
        last, then = lost
        order = self._order_of(owner)
        if order is not None and then is not None and order > then:
            self._lose(peer, now)  # it speaks to others: from now on, it has to do so again
            return None
        return self._accuse(peer, last, now)

    def _accuse(self, peer: P, last: int, now: int) -> Suspicion | None:
        owner = self._owner_of(peer) if self._owner_of is not None else None
        return None if owner is None else self.membership.accuse(owner, now - last, now)
