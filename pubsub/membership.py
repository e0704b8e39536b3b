"""Membership: who is alive, suspect, dead or has left, as one peer sees it.

    alive    nobody who counts says anything else
    suspect  a witness says so of the newest record that is known
    dead     suspect for too long
    left     the newest record is a bye

An owner is alive again with its next record, in all three cases. A suspicion counts once a witness; the witness must be
an owner that is known and neither dead nor gone itself, and the suspicion must be about the newest record that is known
here. One about a newer record waits for that, one about an older record is refuted. How long an owner may stay suspect
is the formula of Lifeguard (Dadgar, Phillips, Currey, "Lifeguard: local health awareness for more accurate failure
detection", 2018): it shrinks, with the logarithm of the number of witnesses, from `SLOW` times Ts to Ts.

A suspicion from somebody who is dead or gone does not count but is kept, and passed on: when a partition heals, each
side holds the other one for dead, and its owners must hear of that to deny it.

Forgetting. An owner that is dead or left for half of the time G is *hidden*: it stays readable but is not offered any
more. After the other half it is forgotten; the ledger keeps (short, epoch, version) for another G. What a newcomer
learns of the dead does not begin that time anew: a suspicion says when its witness last heard of the target, and a bye
is stamped. Machines that are not exposed any more need no tombstones at all: the signed root covers exactly those that
there are, so whoever has an old state either applies the delta that removes them, or sees that the root is another one
and asks for the whole state. Only whole owners could be brought back, and the list in the ledger is against that.

Cost: a record of somebody who is alive costs one look-up. Only who is suspect, dead or left takes memory, so there is
never more of it than owners; one heap has their deadlines.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from math import log, log10

from pubsub.accept import Bucket
from pubsub.boundary import NEVER, SECOND
from pubsub.early import Early
from pubsub.hlc import wall_ms_of
from pubsub.identity import Domain, Identity
from pubsub.ledger import Ledger, Order
from pubsub.members import Event, Hearing, Member, MemberChanged, MemberForgotten, MemberHidden, Status
from pubsub.record import BYE
from pubsub.state import OwnerState
from pubsub.suspicion import Suspicion, suspect

WITNESSES = 3  # after so many, another one changes nothing
SLOW = 6  # times Ts, with one witness
MIN_TIMEOUT = 5 * SECOND
FORGET_AFTER = 7200 * SECOND  # G
MAX_CASES = 65_536  # owners that are not simply alive; the ledger has no more
MAX_WAITING = 8  # statements about one owner that do not count (yet)
RATE, BURST = 1, 64  # statements/s of one witness: nobody has so many neighbours
MAX_BUCKETS = 1024
MAX_REMINDERS = 256
MAX_RETOLD = 16


@dataclass(slots=True)
class _Case:
    """An owner that is not simply alive.

    ``due`` is when its next step comes: to be dead, hidden, or forgotten. NEVER: none does.
    """

    status: Status
    since: int
    counting: tuple[Suspicion, ...] = ()
    waiting: tuple[Suspicion, ...] = ()
    due: int = NEVER
    is_hidden: bool = False


class Membership:
    """The cases of one peer. Those it has decided on are in `events`, and those to be passed on in `spread`.

    Args:
        identity: this peer.
        domain: the topic.
        ledger: what is known of all owners; only read here.
        wall: the wall clock, ms since 1970.
        is_signed: verifies a statement; a simulation shares one cache among its peers.
        is_allowed: who may be a witness on a closed topic.
        forget_after: G, us.

    Attributes:
        events: what has happened since the caller took them.
        spread: statements that were heard again once they were understood, to be passed on to all links.
        counts: how often each kind of hearing was given.
        early: statements whose target or witness is not known yet.
        withheld: own statements that came too fast.
        due: when `expire` has something to do, us; NEVER: nothing. It may be early.
    """

    def __init__(
        self,
        identity: Identity,
        domain: Domain,
        ledger: Ledger,
        wall: Callable[[], int],
        *,
        is_signed: Callable[[Suspicion], bool] | None = None,
        is_allowed: Callable[[bytes], bool] = lambda owner: True,
        forget_after: int = FORGET_AFTER,
    ) -> None:
        self._identity = identity
        self._domain = domain
        self._ledger = ledger
        self._wall = wall
        self._verify = domain.verifies if is_signed is None else is_signed
        self._is_allowed = is_allowed
        self._half = forget_after // 2
        self._cases: dict[bytes, _Case] = {}
        self._heap: list[tuple[int, int, bytes]] = []
        self._pushed = 0
        self._buckets: dict[bytes, Bucket] = {}
        self._foretold: list[Order] = []  # suspicions of records that this peer has yet to publish, the next ones first
        self._reminders: dict[bytes, Suspicion] = {}
        self._reminding: Bucket | None = None  # beside the rate of suspicions: what others offer must not silence those
        self.events: list[Event] = []
        self.spread: list[Suspicion] = []
        self.early = Early()
        self.counts: dict[Hearing, int] = dict.fromkeys(Hearing, 0)
        self.withheld = 0
        self.due = NEVER

    # -- what is known

    def status_of(self, owner: bytes) -> Status:
        """Return what an owner is held for; a stranger is alive."""
        case = self._cases.get(owner)
        return Status.ALIVE if case is None else case.status

    def is_hidden(self, owner: bytes) -> bool:
        """Tell whether an owner is not to be offered to others."""
        case = self._cases.get(owner)
        return case is not None and case.is_hidden

    def members(self) -> Iterator[Member]:
        """Yield all owners that are known, this peer among them."""
        for owner, state in self._ledger.items():
            case, seen = self._cases.get(owner), wall_ms_of(state.header.hlc)
            if case is None or case.status is Status.ALIVE:
                yield Member(owner, Status.ALIVE, None, seen)
            else:
                yield Member(owner, case.status, case.since, seen, len(case.counting))

    def active(self) -> Iterator[Suspicion]:
        """Yield what a new neighbour is to be told: one statement an owner is enough to be denied, or to spread."""
        for case in self._cases.values():
            if not case.is_hidden and case.status in (Status.SUSPECT, Status.DEAD):
                yield case.counting[0]

    def some(self, rng: random.Random) -> list[Suspicion]:
        """Return a few of the active statements, to be told again now and then: a frame with one may have been lost."""
        if not self._cases:
            return []
        active = list(self.active())
        return active if len(active) <= MAX_RETOLD else rng.sample(active, MAX_RETOLD)

    def __len__(self) -> int:
        return len(self._cases)

    def timeout(self, witnesses: int) -> int:
        """Return how long an owner may be suspect, us."""
        shortest = max(MIN_TIMEOUT, round(4 * SECOND * log10(len(self._ledger) + 1)))
        confirmed = log(min(witnesses, WITNESSES)) / log(WITNESSES)
        return round(shortest * (SLOW - (SLOW - 1) * confirmed))

    # -- records

    def heard(self, state: OwnerState, now: int, *, is_new: bool = False) -> None:
        """Note a record of an owner that was accepted; `is_new`: it is the first one of this owner.

        To be called for each: for who is alive it costs one look-up.
        """
        owner = state.owner
        if owner in self._cases or state.header.flags & BYE:
            self._review(state, now)
        if is_new and self.early:
            for suspicion in self.early.take(owner):
                if self.hear(suspicion, now) in (Hearing.NEW, Hearing.WAITING):
                    self.spread.append(suspicion)

    def _review(self, state: OwnerState, now: int) -> None:
        """Look anew at an owner that has published: what was said about an older record is void."""
        owner, order = state.owner, state.order
        if owner == self._identity.owner:
            return
        case = self._cases.get(owner)
        if case is None:
            case = self._cases[owner] = _Case(Status.ALIVE, now)
        before = case.status
        if state.header.is_bye:
            self._cases[owner] = left = _Case(Status.LEFT, now)
            if before is not Status.LEFT:
                self.events.append(MemberChanged(owner, Status.LEFT, before))
            self._fade(owner, left, self._wall() - wall_ms_of(state.header.hlc), now)
            return
        kept = [s for s in (*case.counting, *case.waiting) if s.order >= order]
        case.counting = tuple([s for s in kept if s.order == order and not self._is_gone(s.witness)])
        case.waiting = tuple([s for s in kept if s not in case.counting])
        case.is_hidden = False
        if case.counting:
            case.status, case.since = Status.SUSPECT, now
            self._put_off(owner, case, now + self.timeout(len(case.counting)))
        else:
            case.status, case.since, case.due = Status.ALIVE, now, NEVER
            if not case.waiting:
                del self._cases[owner]
        if case.status is not before:
            self.events.append(MemberChanged(owner, case.status, before))

    # -- suspicions

    def accuse(self, target: bytes, since_ago: int, now: int) -> Suspicion | None:
        """Say that this peer does not hear of an owner; return the statement, to be passed on, if there is one to make.

        Args:
            target: the owner.
            since_ago: for how long, us.
            now: us.
        """
        order = self._ledger.order_of(target)
        own = self._identity.owner
        if target == own or order is None or self.status_of(target) is Status.LEFT:
            return None
        case = self._cases.get(target)
        if case is not None and any(s.witness == own and s.order == order for s in (*case.counting, *case.waiting)):
            return None  # it has been said
        if self._ledger.get(target) is None or (case is None and len(self._cases) >= MAX_CASES):
            return None
        suspicion = self._say(target, order, since_ago, now, self._bucket(own, now))
        if suspicion is not None:
            if case is None:
                case = self._cases[target] = _Case(Status.ALIVE, now)
            self._count(target, case, suspicion, now)
        return suspicion

    def remind(self, target: bytes, order: Order, now: int) -> Suspicion | None:
        """Return what to tell somebody who offers a record of an owner that was forgotten; `order`: of that record.

        It need not be the newest one: whoever has it has missed the bye.
        """
        remembered = self._ledger.order_of(target)
        if remembered is None or order > remembered or self._ledger.get(target) is not None:
            return None
        known = self._reminders.get(target)
        if known is not None and known.order == order:
            return known
        if self._reminding is None:
            self._reminding = Bucket(RATE, BURST, now)
        suspicion = self._say(target, order, 2 * self._half, now, self._reminding)
        if suspicion is not None:
            self._reminders[target] = suspicion
            if len(self._reminders) > MAX_REMINDERS:
                del self._reminders[next(iter(self._reminders))]
        return suspicion

    def _say(self, target: bytes, order: Order, since_ago: int, now: int, bucket: Bucket) -> Suspicion | None:
        if not bucket.ready(now):
            self.withheld += 1
            return None
        bucket.take()
        return suspect(self._identity, self._domain, target, order, (self._wall() - since_ago // 1000) // 1000)

    def hear(self, suspicion: Suspicion, now: int) -> Hearing:
        """Judge a suspicion, and say what became of it; see `Hearing`."""
        hearing = self._judge(suspicion, now)
        self.counts[hearing] += 1
        return hearing

    def _judge(self, suspicion: Suspicion, now: int) -> Hearing:
        target, witness = suspicion.target, suspicion.witness
        if target == witness:
            return Hearing.ABOUT_ITSELF
        if not (self._is_allowed(target) and self._is_allowed(witness)):
            return Hearing.NOT_ALLOWED
        order = self._ledger.order_of(target)
        if order is not None and suspicion.order < order:
            return Hearing.REFUTED
        if target == self._identity.owner:
            return self._judge_own(suspicion, order)
        state = self._ledger.get(target)
        if state is None:
            # one that was forgotten is older than what is remembered, or it has come back and its record is on its way
            return Hearing.REFUTED if suspicion.order == order else self._wait_for(target, suspicion)
        if state.header.is_bye and suspicion.order == order:
            return Hearing.LEFT
        case = self._cases.get(target)
        if case is not None:
            if any(s.witness == witness and s.order >= suspicion.order for s in (*case.counting, *case.waiting)):
                return Hearing.DUPLICATE
            if len(case.counting) >= WITNESSES and suspicion.order == order:
                return Hearing.ENOUGH
        elif len(self._cases) >= MAX_CASES:
            return Hearing.CROWDED
        if self._ledger.get(witness) is None:
            return self._wait_for(witness, suspicion)
        bucket = self._bucket(witness, now)
        if not bucket.ready(now):
            return Hearing.TOO_FAST
        if not self._verify(suspicion):
            return Hearing.BAD_SIGNATURE
        bucket.take()
        if case is None:
            case = self._cases[target] = _Case(Status.ALIVE, now)
        if suspicion.order != order or self._is_gone(witness):
            return self._keep(case, suspicion)
        self._count(target, case, suspicion, now)
        return Hearing.NEW

    def _judge_own(self, suspicion: Suspicion, order: Order | None) -> Hearing:
        state = self._ledger.get(suspicion.target)
        if suspicion.order == order and (state is None or state.header.is_bye):
            return Hearing.LEFT
        if not self._verify(suspicion):
            return Hearing.BAD_SIGNATURE
        if suspicion.order == order:
            return Hearing.OURSELVES
        if suspicion.order not in self._foretold:  # of too many, the furthest ones go, as with those who wait for them
            self._foretold = sorted([*self._foretold, suspicion.order])[:MAX_WAITING]
        return Hearing.AHEAD

    def published(self, order: Order) -> bool:
        """Note a record of this peer itself; tell whether it was suspected before there was one."""
        is_foretold = order in self._foretold
        self._foretold = [later for later in self._foretold if later > order]
        return is_foretold

    def _count(self, target: bytes, case: _Case, suspicion: Suspicion, now: int) -> None:
        """Let a statement count. The deadline is measured from the first one, so that it can only come nearer."""
        case.counting = (*case.counting, suspicion)
        case.waiting = tuple([s for s in case.waiting if s.witness != suspicion.witness])
        if case.status is Status.ALIVE:
            case.status, case.since = Status.SUSPECT, now
            self.events.append(MemberChanged(target, Status.SUSPECT, Status.ALIVE))
        if case.status is Status.SUSPECT:
            self._put_off(target, case, case.since + self.timeout(len(case.counting)))

    def _keep(self, case: _Case, suspicion: Suspicion) -> Hearing:
        """Keep a statement that does not count; of too many, those furthest ahead go."""
        others = [s for s in case.waiting if s.witness != suspicion.witness]
        kept = sorted([*others, suspicion], key=lambda s: s.order)[:MAX_WAITING]
        case.waiting = tuple(kept)
        return Hearing.WAITING if suspicion in kept else Hearing.CROWDED

    def _wait_for(self, owner: bytes, suspicion: Suspicion) -> Hearing:
        """Keep a statement that cannot be judged before an owner is known; its signature is looked at then."""
        return Hearing.EARLY if self.early.add(owner, suspicion) else Hearing.DUPLICATE

    def _is_gone(self, owner: bytes) -> bool:
        return self.status_of(owner) in (Status.DEAD, Status.LEFT)

    def _bucket(self, witness: bytes, now: int) -> Bucket:
        """Return what bounds the rate of a witness."""
        bucket = self._buckets.get(witness)
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[witness] = Bucket(RATE, BURST, now)
        return bucket

    # -- time

    def expire(self, now: int) -> None:
        """Do what is due: who was suspect for too long is dead, who was dead for long is hidden, and then forgotten."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, owner = heappop(heap)
            case = self._cases.get(owner)
            if case is None or case.due != at:
                continue
            case.due = NEVER
            if case.status is Status.SUSPECT:
                case.status, case.since = Status.DEAD, now
                self.events.append(MemberChanged(owner, Status.DEAD, Status.SUSPECT))
                heard_s = max([s.since for s in case.counting])
                self._fade(owner, case, self._wall() - 1000 * heard_s, now)
            elif case.is_hidden:
                del self._cases[owner]
                self.events.append(MemberForgotten(owner, now + 2 * self._half))
            else:
                case.is_hidden = True
                self.events.append(MemberHidden(owner))
                self._put_off(owner, case, now + self._half)
        self.due = heap[0][0] if heap else NEVER

    def _fade(self, owner: bytes, case: _Case, age_ms: int, now: int) -> None:
        """Begin to forget an owner that is dead or left, and was so before this peer learned of it, as it seems."""
        self._put_off(owner, case, now + self._half - min(max(1000 * age_ms, 0), self._half))

    def _put_off(self, owner: bytes, case: _Case, due: int) -> None:
        if case.due == due:
            return
        case.due = due
        self._pushed += 1
        heappush(self._heap, (due, self._pushed, owner))
        if len(self._heap) > 16 + 4 * len(self._cases):  # most of it is of the past
            live = {(c.due, o) for o, c in self._cases.items()}
            self._heap = sorted(entry for entry in self._heap if (entry[0], entry[2]) in live)
        self.due = self._heap[0][0]
