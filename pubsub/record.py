"""Records: what an owner says about its machines. A signed header, and an unsigned body that the header's root covers.

    header  format u8, flags u8, owner 32 B (or its 8 B short form), epoch u32, version varint, hlc u64,
            lease varint (s), root 16 B, signature 64 B
    body    kind u8 (0 delta, 1 full), number of parts varint, parts in the order of their machine's index
    part    index varint, flags u8, [description], [schema hash 16 B], base varint, ticks
    ticks   sparse: count varint, then (gap to the state before varint, tick varint) each;
            dense: count varint, then each tick, 0 for "not listed"

The base of a part is 0 in a full body, and below the header's version in a delta.

Order is lexicographic on (epoch, version). The signature is over the domain and the header with the whole owner, so
that any relay can serve any delta, or a full body, with only the newest header. Encoding is canonical: a decoder takes
only what the encoder would have written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import pairwise

from pubsub.errors import WireError
from pubsub.identity import KEY_BYTES, SHORT_BYTES, SIGNATURE_BYTES, Domain, Identity, short_of, verify
from pubsub.wire import Reader, text, varint, varints

FORMAT = 1
BYE = 1  # header flag: the owner leaves; its machines stay readable as they are
SHORT = 128  # header flag on the wire, not signed: the owner is given by its short form
KNOWN_FLAGS = BYE | SHORT
HASH_BYTES = 16
NO_HASH = bytes(HASH_BYTES)

MAX_RECORD = 64 * 1024  # bytes of one record
MAX_MACHINES = 4096  # of one owner at a time
MAX_INDEX = (1 << 32) - 1  # of a machine; an index is never used again, so it outgrows their number
MAX_STATES = 4096  # of one machine
# Ticks of all machines of one owner: n of them have at least n bytes in a dense body. Without a limit, a few bytes
# ("state 4095 ticked once") would cost a peer 32 kB, thousands of times in one record.
MAX_TICKS = MAX_RECORD
MAX_ID = 256  # bytes of a machine's id
MAX_TAG = 256  # bytes of one tag
MAX_TAGS = 64
MAX_TICK = (1 << 53) - 1  # every language can count that far
MAX_LEASE = 86400  # s
TWO_BYTES = 128  # a varint from there on has two, up to 16,383, which no state reaches
MAX_EPOCH = (1 << 32) - 1

DELTA, FULL = 0, 1
# part flags
HAS_DESCRIPTION, HAS_SCHEMA, GONE, DENSE = 1, 2, 4, 8

_FIXED = struct.Struct(">I")
_STAMP = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Header:
    """The signed part. `root` covers all machines of the owner; see `pubsub.state`."""

    flags: int
    owner: bytes
    epoch: int
    version: int
    hlc: int
    lease: int
    root: bytes
    signature: bytes = b""
    order: tuple[int, int] = field(init=False, repr=False, compare=False)
    """(epoch, version): what decides which of two headers is newer."""

    def __post_init__(self) -> None:
        """Make the order once: it is asked for at each step of the way."""
        object.__setattr__(self, "order", (self.epoch, self.version))

    @property
    def is_bye(self) -> bool:
        """Whether the owner left with this."""
        return self.flags & BYE != 0

    @property
    def rank(self) -> bytes:
        """What decides between two headers of an owner with the same order, if it has signed two: the larger one wins.

        It is blake2b-128 of the signed part.
        """
        return blake2b(self.signed_part(), digest_size=HASH_BYTES).digest()

    def repeats(self, other: Header) -> bool:
        """Tell whether this says what another header of the same owner and order says."""
        return self.root == other.root and (self.flags, self.hlc, self.lease) == (other.flags, other.hlc, other.lease)

    def signed_part(self) -> bytes:
        """Return what is signed, without the domain."""
        return b"".join(
            (
                bytes((FORMAT, self.flags)),
                self.owner,
                _FIXED.pack(self.epoch),
                varint(self.version),
                _STAMP.pack(self.hlc),
                varint(self.lease),
                self.root,
            )
        )

    def sign(self, identity: Identity, domain: Domain) -> Header:
        """Return this header with its signature."""
        return replace(self, signature=identity.sign(domain.bind(self.signed_part())))

    def is_signed(self, domain: Domain) -> bool:
        """Tell whether the signature is the owner's, for this domain."""
        return verify(self.owner, domain.bind(self.signed_part()), self.signature)

    def encode(self, *, short: bool = False) -> bytes:
        """Return the header as bytes; `short` where the receiver knows the owner."""
        signed = self.signed_part()
        if short:
            head = bytes((FORMAT, self.flags | SHORT)) + short_of(self.owner)
            return head + signed[2 + KEY_BYTES :] + self.signature
        return signed + self.signature


@dataclass(frozen=True, slots=True)
class Description:
    """What a machine is called, besides its clock. ``parent`` is the id of another machine, empty for none."""

    id: str
    tags: tuple[str, ...] = ()
    parent: str = ""

    def encode(self) -> bytes:
        """Return the description as bytes."""
        return b"".join((text(self.id), varint(len(self.tags)), *map(text, self.tags), text(self.parent)))

    def digest(self) -> bytes:
        """Return blake2b-128 of the encoding."""
        return blake2b(self.encode(), digest_size=HASH_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Part:
    """What a body says about one machine.

    Attributes:
        index: its number with its owner, never used again within an epoch.
        ticks: (state index, absolute tick), by state; states that are not listed are as they were.
        base: the version that the sender's change started from.
        description, schema: where they are new to the receiver.
        gone: it is no longer exposed. Such a part has nothing else.
    """

    index: int
    ticks: tuple[tuple[int, int], ...] = ()
    base: int = 0
    description: Description | None = None
    schema: bytes | None = None
    gone: bool = False

    def encode(self) -> bytes:
        """Return the part as bytes; the shorter of the two forms of ticks, sparse if they are equal."""
        flags = (HAS_DESCRIPTION if self.description is not None else 0) | (
            HAS_SCHEMA if self.schema is not None else 0
        )
        if self.gone:
            return varint(self.index) + bytes((GONE,))
        ticks, dense = self._encode_ticks()
        return b"".join(
            (
                varint(self.index),
                bytes((flags | dense,)),
                self.description.encode() if self.description is not None else b"",
                self.schema if self.schema is not None else b"",
                varint(self.base),
                ticks,
            )
        )

    def _encode_ticks(self) -> tuple[bytes, int]:
        count, size = len(self.ticks), self.ticks[-1][0] + 1 if self.ticks else 0
        # What differs: a gap before each tick, of a byte or two, or a zero for each hole; and the number in front.
        longer = size - 2 * count + (size >= TWO_BYTES) - (count >= TWO_BYTES)
        if longer < 0 or (longer < (size - count) // TWO_BYTES and longer < self._wide_gaps()):
            vector = [0] * size
            for state, tick in self.ticks:
                vector[state] = tick
            return varints((size, *vector)), DENSE
        flat, before = [count], -1
        for state, tick in self.ticks:
            flat += (state - before - 1, tick)
            before = state
        return varints(tuple(flat)), 0

    def _wide_gaps(self) -> int:
        """Return how many gaps between the listed states have two bytes."""
        states = [-1, *[state for state, _ in self.ticks]]
        return sum([later - state > TWO_BYTES for state, later in pairwise(states)])


@dataclass(frozen=True, slots=True)
class Record:
    """A header with a body. ``full``: the body holds everything, and what it does not list is gone."""

    header: Header
    parts: tuple[Part, ...]
    full: bool = False

    def encode(self, *, short: bool = False) -> bytes:
        """Return the record as bytes."""
        body = bytes((FULL if self.full else DELTA,)) + varint(len(self.parts))
        return b"".join((self.header.encode(short=short), body, *[part.encode() for part in self.parts]))


def read_header(reader: Reader, owners: dict[bytes, bytes] | None = None) -> Header:
    """Read a header.

    Args:
        reader: at its beginning.
        owners: short form -> public key, of the owners that this link has introduced; None: short forms are refused.

    Raises:
        WireError: it is no canonical header, or its owner is not known by that short form.
    """
    if (version := reader.byte()) != FORMAT:
        raise WireError(f"format {version} is not {FORMAT}")
    flags = reader.byte()
    if flags & ~KNOWN_FLAGS:
        raise WireError(f"unknown flags {flags:#x}")
    if flags & SHORT:
        known = (owners or {}).get(reader.take(SHORT_BYTES))
        if known is None:
            raise WireError("an owner is given by a short form that was not introduced")
        owner = known
    else:
        owner = reader.take(KEY_BYTES)
    (epoch,) = _FIXED.unpack(reader.take(4))
    number = reader.varint()
    (hlc,) = _STAMP.unpack(reader.take(8))
    lease = reader.varint(MAX_LEASE)
    root = reader.take(HASH_BYTES)
    return Header(flags & ~SHORT, owner, epoch, number, hlc, lease, root, reader.take(SIGNATURE_BYTES))


def decode_record(data: bytes, owners: dict[bytes, bytes] | None = None) -> Record:
    """Return the record that bytes are; see `read_header`.

    Raises:
        WireError: they are no canonical record.
    """
    if len(data) > MAX_RECORD:
        raise WireError(f"{len(data)} bytes are more than {MAX_RECORD}")
    reader = Reader(data)
    header = read_header(reader, owners)
    kind = reader.byte()
    if kind not in (DELTA, FULL):
        raise WireError(f"unknown kind of body {kind}")
    parts, last, room = [], -1, MAX_TICKS
    for _ in range(reader.varint(MAX_MACHINES)):
        part = _read_part(reader)
        if part.index <= last:
            raise WireError("machines are not in order")
        if kind == FULL and (part.gone or part.description is None or part.schema is None):
            raise WireError("a full body leaves something out")
        if part.base and (kind == FULL or part.base >= header.version):
            raise WireError("a part starts from where there was nothing")
        if part.ticks:
            room -= part.ticks[-1][0] + 1
            if room < 0:
                raise WireError(f"the machines have more than {MAX_TICKS} states together")
        last = part.index
        parts.append(part)
    reader.end()
    record = Record(header, tuple(parts), kind == FULL)
    if record.encode(short=data[1] & SHORT != 0) != data:
        raise WireError("the record is not in its canonical form")
    return record


def _read_part(reader: Reader) -> Part:
    index = reader.varint(MAX_INDEX)
    flags = reader.byte()
    if flags == GONE:
        return Part(index, gone=True)
    if flags & ~(HAS_DESCRIPTION | HAS_SCHEMA | DENSE):
        raise WireError(f"unknown flags {flags:#x} of a machine")
    description = _read_description(reader) if flags & HAS_DESCRIPTION else None
    schema = reader.take(HASH_BYTES) if flags & HAS_SCHEMA else None
    base = reader.varint()
    ticks = _read_dense(reader) if flags & DENSE else _read_sparse(reader)
    return Part(index, ticks, base, description, schema)


def _read_description(reader: Reader) -> Description:
    name = reader.text(MAX_ID)
    tags = tuple(reader.text(MAX_TAG) for _ in range(reader.varint(MAX_TAGS)))
    return Description(name, tags, reader.text(MAX_ID))


def _read_sparse(reader: Reader) -> tuple[tuple[int, int], ...]:
    ticks, state = [], -1
    for _ in range(reader.varint(MAX_STATES)):
        state += reader.varint(MAX_STATES - 1) + 1
        if state >= MAX_STATES:
            raise WireError(f"state {state} is above the limit {MAX_STATES - 1}")
        tick = reader.varint(MAX_TICK)
        if tick == 0:
            raise WireError("a tick of 0 is listed: it says nothing")
        ticks.append((state, tick))
    return tuple(ticks)


def _read_dense(reader: Reader) -> tuple[tuple[int, int], ...]:
    ticks = [reader.varint(MAX_TICK) for _ in range(reader.varint(MAX_STATES))]
    return tuple((state, tick) for state, tick in enumerate(ticks) if tick)
