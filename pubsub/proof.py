"""Proofs of equivocation: two different headers that an owner signed with the same epoch and version.

They convict a cheating owner, and find a key that is used twice. Everyone keeps the one of the larger rank, so that all
agree.

    proof   first header, second header without its owner; the smaller rank comes first
"""

from __future__ import annotations

from dataclasses import dataclass

from pubsub.errors import WireError
from pubsub.identity import Domain, short_of
from pubsub.record import Header, read_header
from pubsub.wire import Reader


@dataclass(frozen=True, slots=True)
class Proof:
    """Two headers that cannot both be honest."""

    smaller: Header
    larger: Header

    @classmethod
    def of(cls, one: Header, other: Header) -> Proof | None:
        """Return the proof that two headers are, in either order; None if they can both be honest."""
        if one.owner != other.owner or one.order != other.order or one.repeats(other):
            return None
        return cls(one, other) if one.rank < other.rank else cls(other, one)

    @property
    def owner(self) -> bytes:
        """Who signed both."""
        return self.larger.owner

    def is_valid(self, domain: Domain) -> bool:
        """Tell whether both are signed, and contradict each other."""
        contradict = Proof.of(self.smaller, self.larger) == self
        return contradict and self.smaller.is_signed(domain) and self.larger.is_signed(domain)

    def encode(self) -> bytes:
        """Return the proof as bytes; the owner stands there once."""
        return self.smaller.encode() + self.larger.encode(short=True)


def decode_proof(data: bytes) -> Proof:
    """Return the proof that bytes are. Its signatures are not looked at.

    Raises:
        WireError: they are no canonical proof.
    """
    reader = Reader(data)
    smaller = read_header(reader)
    larger = read_header(reader, {short_of(smaller.owner): smaller.owner})
    reader.end()
    proof = Proof(smaller, larger)
    if proof.encode() != data or Proof.of(smaller, larger) != proof:
        raise WireError("the two headers prove nothing")
    return proof
