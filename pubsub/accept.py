"""Accepting records: the only way from bytes of a peer into what is known. Each refusal has its own counter.

In this order, the cheap ones first:

1. size, format (the decoders), allowed owners;
2. is (epoch, version) newer than what is known? An equal one in another header is evidence against its owner;
3. the rate of this owner, and room for it;
4. the signature, once per header. Only what its owner signed counts for its rate, so nobody else can use that up;
5. merge into a copy. If the root is the signed one, it is committed; if not, something is missing: a gap.

What a relay can waste is then the time to check signatures and bodies that do not fit. Who passes on only what it has
accepted never sends a bad signature: whoever keeps the links knows whom to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import InitVar, dataclass, field
from enum import Enum

from pubsub.boundary import SECOND
from pubsub.hlc import HybridClock
from pubsub.identity import Domain
from pubsub.ledger import Ledger
from pubsub.proof import Proof
from pubsub.record import Header, Record
from pubsub.state import OwnerState, merge

RATE = 20  # records/s of one owner
BURST = 40
STRANGERS_RATE = 100  # records/s of all owners that are not known yet, together
STRANGERS_BURST = 1000
COST = SECOND // RATE
PATIENCE = (BURST - 1) * COST  # us: how far ahead of now an owner may have used its rate up
MIN_SWEEP = 64  # owners whose rate is kept, 70 B each: that of most is worth something for 50 ms
MAX_PENDING = 4096  # verified headers with a gap that are remembered


class Verdict(Enum):
    """What became of a record."""

    COMMITTED = "committed"
    DUPLICATE = "duplicate"
    OLDER = "older"
    GAP = "gap"
    BACKWARDS = "backwards"  # full and signed, but behind what its owner signed before: it lies, asking again is no use
    EQUIVOCATION = "equivocation"
    OWN = "own"  # of this peer itself, at or above what it published: its key or its past is in use elsewhere
    NOT_ALLOWED = "not allowed"
    CROWDED = "crowded"  # of a stranger, while the ledger is full
    TOO_FAST = "too fast"
    BAD_SIGNATURE = "bad signature"

    __hash__ = object.__hash__  # that of Enum is a call of Python, and there is one for each record


# To find a member in its class takes 0.1 us; this module is the inner loop of a network.
COMMITTED, DUPLICATE, OLDER, TOO_FAST = Verdict.COMMITTED, Verdict.DUPLICATE, Verdict.OLDER, Verdict.TOO_FAST


class Bucket:
    """A token bucket over integer microseconds; tokens are counted in microseconds of waiting."""

    __slots__ = ("_cost", "_full", "_since", "_tokens")

    def __init__(self, rate: int, burst: int, now: int) -> None:
        self._cost = SECOND // rate
        self._full = self._tokens = burst * self._cost
        self._since = now

    def ready(self, now: int) -> bool:
        """Tell whether there is a token."""
        if now > self._since:
            self._tokens = min(self._full, self._tokens + now - self._since)
            self._since = now
        return self._tokens >= self._cost

    def take(self) -> None:
        """Take the token that is ready."""
        self._tokens -= self._cost


@dataclass(slots=True)
class Accepted:
    """A verdict, with what came of it."""

    verdict: Verdict
    state: OwnerState | None = None
    before: OwnerState | None = None
    proof: Proof | None = None
    number: int = field(default=-1, compare=False)
    """The owner's, where there is a state."""


@dataclass(slots=True)
class Acceptor:
    """Judge records against a ledger, and commit those that pass.

    Attributes:
        domain: what signatures must be for.
        ledger: what is known; changed here.
        clock: advanced past the stamps of committed records.
        own: this peer's public key.
        allowed: the owners of a closed topic; None: anybody.
        is_signed: verifies a header, as `verify` does then; a simulation shares one cache among its peers.
        merge: computes what a record makes of a state; a simulation shares that too.
        counts: how often each verdict was given.
        proofs: evidence, by owner, the first of each.
    """

    domain: Domain
    ledger: Ledger
    clock: HybridClock
    own: bytes
    allowed: Collection[bytes] | None = None
    is_signed: InitVar[Callable[[Header], bool] | None] = None
    merge: Callable[[OwnerState | None, Record], OwnerState | None] = merge
    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    proofs: dict[bytes, Proof] = field(default_factory=dict)
    verify: Callable[[Header], bool] = field(init=False)
    _paid: dict[int, int] = field(default_factory=dict)
    """Until when each owner has used up its rate, us. Only of those that were heard of lately."""
    _sweep: int = MIN_SWEEP
    _strangers: Bucket | None = None
    _pending: dict[bytes, Header] = field(default_factory=dict)

    def __post_init__(self, is_signed: Callable[[Header], bool] | None) -> None:
        """Verify with what is shared, or alone."""
        self.verify = self.domain.verifies if is_signed is None else is_signed

    def consider(self, record: Record, now: int, *, limited: bool = True) -> Accepted:
        """Judge a record, and commit it if it passes.

        Args:
            record: decoded.
            now: us, monotonic.
            limited: whether the owner's rate counts; not so for what was asked for.
        """
        accepted = self._judge(record, now, limited)
        self.counts[accepted.verdict] += 1
        return accepted

    def _judge(self, record: Record, now: int, limited: bool) -> Accepted:
        header = record.header
        owner = header.owner
        if self.allowed is not None and owner not in self.allowed:
            return Accepted(Verdict.NOT_ALLOWED)
        ledger = self.ledger
        number = ledger.numbers.by_owner.get(owner)
        state = ledger.states[number] if number is not None and number < len(ledger.states) else None
        known = state.order if state is not None else ledger.order_of(owner)
        if known is not None and header.order <= known:
            if header.order < known:
                return Accepted(OLDER)
            if state is None or header is state.header or header.repeats(state.header):
                return Accepted(DUPLICATE)
        if state is None and ledger.is_full and owner != self.own:
            return Accepted(Verdict.CROWDED)
        if not self._pending or self._pending.get(owner) != header:  # else it was let in before
            # The rate of an owner: one integer does what a bucket of tokens does. It is the generic cell rate algorithm
            # (ITU-T I.371). Strangers have one rate for all of them, as their keys cost nothing.
            paid = 0
            if limited:
                if number is None or state is None:
                    if not self._has_room_for_strangers(now):
                        return Accepted(TOO_FAST)
                else:
                    paid = self._paid.get(number, 0)
                    if paid > now + PATIENCE:
                        return Accepted(TOO_FAST)
            if not self.verify(header):
                return Accepted(Verdict.BAD_SIGNATURE)
            if limited:
                if number is None or state is None:
                    self._take_stranger()
                else:
                    self._paid[number] = (paid if paid > now else now) + COST
                    if len(self._paid) > self._sweep:
                        self._forget_paid(now)
        if owner == self.own:
            self.clock.observe(header.hlc)
            return Accepted(Verdict.OWN)
        if state is not None and header.order == state.order:
            return self._equivocation(state, record)
        new = self.merge(state, record)
        if new is None:
            self._remember(header)
            lies = record.full and state is not None and self.merge(None, record) is not None
            return Accepted(Verdict.BACKWARDS if lies else Verdict.GAP)
        return Accepted(COMMITTED, new, state, None, self._commit(new))

    def _equivocation(self, state: OwnerState, record: Record) -> Accepted:
        """Keep the evidence, and the header of the larger rank, so that all peers come to the same state."""
        proof = Proof.of(state.header, record.header)
        assert proof is not None
        self.proofs.setdefault(state.owner, proof)
        new, number = None, -1
        if record.header.rank > state.header.rank:
            new = self.merge(None if record.full else state, record)
        if new is None:
            self._remember(record.header)
        else:
            number = self._commit(new)
        return Accepted(Verdict.EQUIVOCATION, new, state, proof, number)

    def _commit(self, state: OwnerState) -> int:
        number = self.ledger.commit(state)
        if self._pending:
            pending = self._pending.get(state.owner)
            if pending is not None and pending.order <= state.order:
                del self._pending[state.owner]
        if state.header.hlc > self.clock.last:
            self.clock.observe(state.header.hlc)
        return number

    def _has_room_for_strangers(self, now: int) -> bool:
        if self._strangers is None:
            self._strangers = Bucket(STRANGERS_RATE, STRANGERS_BURST, now)
        return self._strangers.ready(now)

    def _take_stranger(self) -> None:
        assert self._strangers is not None
        self._strangers.take()

    def _forget_paid(self, now: int) -> None:
        """Drop the owners that have all of their rate again."""
        self._paid = {number: until for number, until in self._paid.items() if until > now}
        self._sweep = max(MIN_SWEEP, 2 * len(self._paid))

    def _remember(self, header: Header) -> None:
        """Keep the newest verified header of an owner whose body is missing: that may come from anybody then."""
        old = self._pending.pop(header.owner, header)
        self._pending[header.owner] = old if old.order > header.order else header
        if len(self._pending) > MAX_PENDING:
            del self._pending[next(iter(self._pending))]

    def is_new(self, proof: Proof) -> bool:
        """Tell whether a proof that a verdict came with is the first against its owner: the one that is kept."""
        return self.proofs.get(proof.owner) is proof

    def convict(self, proof: Proof) -> bool:
        """Take evidence from elsewhere; tell whether it is good and the first against an owner that is known here."""
        if proof.owner in self.proofs or self.ledger.get(proof.owner) is None or not proof.is_valid(self.domain):
            return False
        self.proofs[proof.owner] = proof
        return True

    def forget(self, owner: bytes) -> None:
        """Drop all that is kept about an owner beside its state; before the ledger forgets it, and its number."""
        number = self.ledger.numbers.find(owner)
        if number is not None:
            self._paid.pop(number, None)
        self._pending.pop(owner, None)
        self.proofs.pop(owner, None)
