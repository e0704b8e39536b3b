"""Suspicions: what one peer, the witness, says of an owner that it cannot reach.

    suspicion  kind u8, target 32 B, witness 32 B, epoch u32, version varint, since u32, signature 64 B
    signed     the domain, PREFIX, target, witness, epoch, version, since

(epoch, version) is the newest that the witness knows of the target: any newer record of the target refutes it. PREFIX
begins with a byte that no header begins with, so that neither is ever taken for the other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from pubsub.errors import WireError
from pubsub.identity import KEY_BYTES, SIGNATURE_BYTES, Domain, Identity, verify
from pubsub.record import MAX_EPOCH
from pubsub.wire import Reader, varint

PREFIX = b"\0suspicion"  # a header's first byte is its format, which begins with 1
KIND = 64  # the first byte on the wire; a header, and so a proof, has its format there
MAX_SINCE = (1 << 32) - 1

_FIXED = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A signed statement: the witness does not hear of the target any more.

    Attributes:
        target, witness: their public keys.
        epoch, version: of the newest record of the target that the witness knows.
        since: when the witness last had a reason to believe that it lives, s since 1970 by the witness's wall clock. It
            decides nothing but how soon a target that is dead is forgotten.
    """

    target: bytes
    witness: bytes
    epoch: int
    version: int
    since: int
    signature: bytes = b""

    @property
    def order(self) -> tuple[int, int]:
        """What a record of the target must exceed to refute this."""
        return self.epoch, self.version

    def _rest(self) -> bytes:
        return _FIXED.pack(self.epoch) + varint(self.version) + _FIXED.pack(self.since)

    def signed_part(self) -> bytes:
        """Return what is signed, without the domain."""
        return PREFIX + self.target + self.witness + self._rest()

    def sign(self, identity: Identity, domain: Domain) -> Suspicion:
        """Return this statement with its signature; the identity must be the witness's."""
        return replace(self, signature=identity.sign(domain.bind(self.signed_part())))

    def is_signed(self, domain: Domain) -> bool:
        """Tell whether the signature is the witness's, for this domain."""
        return verify(self.witness, domain.bind(self.signed_part()), self.signature)

    def encode(self) -> bytes:
        """Return the statement as bytes."""
        return bytes((KIND,)) + self.target + self.witness + self._rest() + self.signature


def decode_suspicion(data: bytes) -> Suspicion:
    """Return the suspicion that bytes are. Its signature is not looked at.

    Raises:
        WireError: they are no canonical suspicion.
    """
    reader = Reader(data)
    kind = reader.byte()
    if kind != KIND:
        raise WireError(f"{kind:#x} is no kind of suspicion")
    target, witness = reader.take(KEY_BYTES), reader.take(KEY_BYTES)
    (epoch,) = _FIXED.unpack(reader.take(4))
    version = reader.varint()
    (since,) = _FIXED.unpack(reader.take(4))
    signature = reader.take(SIGNATURE_BYTES)
    reader.end()
    return Suspicion(target, witness, epoch, version, since, signature)


def suspect(identity: Identity, domain: Domain, target: bytes, order: tuple[int, int], since: int) -> Suspicion:
    """Return a suspicion of an owner, signed.

    Args:
        identity: the witness.
        domain: the topic.
        target: whom it is about.
        order: (epoch, version) of the newest record of it.
        since: s since 1970; clipped to what fits.
    """
    assert order[0] <= MAX_EPOCH
    return Suspicion(target, identity.owner, *order, min(max(since, 0), MAX_SINCE)).sign(identity, domain)
