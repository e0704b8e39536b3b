"""What peers say to each other on links and in sessions. Immutable; ``size`` is the length of the encoding in bytes.

Each message begins with its kind (u8); numbers and counts are varints, and flags are a u8. See `pubsub.codec`.

    frame     flags (1 ping, 2 parting, 4 lazy), grant, sent, parcels, wants (8 B each), notices (length, bytes), and
              if lazy: prunes (8 B each), haves (short 8 B, epoch 4 B, version)
    summary   fingerprints (4 B each), buckets in full (2 B each)
    entries   flags (1 last), buckets, then of each that differs: bucket 2 B, entries (short 8 B, epoch 4 B, version,
              mark 4 B)
    exchange  flags (1 last), parcels, wants (8 B each)
    ask       hashes (16 B each)
    bodies    flags (1 last), schemas (length, canonical form)
    rows ask  flags (1 until), machine's id, after (epoch, seq), [until (epoch, seq)]
    rows      flags (1 last), rows (epoch, seq, length, bytes)
    rows end  reason u8
    topic     record, or notice; nothing follows it

A parcel is a record behind its length less one (2 B). On a link its owner is there by the short form, which is what
``size`` counts; the first record of an owner on a link has the long one and `INTRODUCTION` bytes more. In an exchange
all have the long one. A parcel is also the message of the topic: there it has the long one too, and no length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from pubsub.identity import KEY_BYTES, SHORT_BYTES
from pubsub.record import HASH_BYTES, Record

INTRODUCTION = KEY_BYTES - SHORT_BYTES  # bytes more of a record whose owner is there in full
FINGERPRINT_BYTES = 4
BUCKET_BYTES = 2
ENTRY_BYTES = SHORT_BYTES + 8  # and the version
HAVE_BYTES = SHORT_BYTES + 4  # and the version
MAX_FRAME = 64 * 1024
MAX_WANTS = 512  # in one message
MAX_PRUNES = 512  # in one frame
MAX_HAVES = 1024
MAX_ROW = 60 * 1024  # bytes of one row of a history
MAX_ROWS = 1024  # in one page
MAX_PAGE = 64 * 1024  # bytes of a page of rows
MAX_PLACE = (1 << 63) - 1  # what a database has for a number


def width(value: int) -> int:
    """Return how many bytes a number has as a varint."""
    return 1 if value < 128 else (value.bit_length() + 6) // 7


class Notice(Protocol):
    """What all are to be told, beside records: a `Proof`, or a `Suspicion`."""

    def encode(self) -> bytes:
        """Return the notice as bytes."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A record with its size and the hashes of schemas it speaks of, which are asked for at every hop."""

    record: Record
    size: int
    schemas: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, record: Record) -> Parcel:
        """Return a record as a parcel: its short form behind a length."""
        schemas = tuple(part.schema for part in record.parts if part.schema is not None)
        return cls(record, len(record.encode(short=True)) + 2, schemas)


Have = tuple[bytes, int, int]
"""A record that somebody has: the short form of its owner, epoch, version."""


@dataclass(slots=True, unsafe_hash=True)
class Frame:
    """One message on the link of a connection. It is not to be changed; to have it frozen would take 2 us more of each.

    Attributes:
        parcels: records, the longest waiting first.
        grant: how many bytes of parcels and haves, counted from the beginning of the link, the sender is ready to take.
        wants: short forms of owners whose whole state is asked for.
        ping: an answer is asked for.
        parting: the sender has neighbours enough without this one, which is to end the connection.
        notices: proofs and suspicions.
        sent: how many bytes of parcels and haves were sent before, from the beginning of the link: those that were lost
            on the way, too, or they would be held against the sender for ever.
        prunes: short forms of owners of which the sender gets enough elsewhere: of these it is to be sent haves.
        haves: records that the sender has, and does not send.
    """

    parcels: tuple[Parcel, ...]
    grant: int
    wants: tuple[bytes, ...] = ()
    ping: bool = False
    notices: tuple[Notice, ...] = ()
    sent: int = 0
    parting: bool = False
    prunes: tuple[bytes, ...] = ()
    haves: tuple[Have, ...] = ()
    load: int = field(init=False, repr=False, compare=False)
    """Bytes of the parcels and haves: what grants are about."""
    size: int = field(init=False, repr=False, compare=False)
    """Bytes on the wire, where all owners have been introduced; `INTRODUCTION` more for each that has not."""

    def __post_init__(self) -> None:
        """Add up the sizes: they are asked for at each step of the way."""
        parcels, wants, notices = self.parcels, self.wants, self.notices
        load = sum([p.size for p in parcels])
        if self.haves:
            load += sum([size_of_have(have) for have in self.haves])
        self.load = load
        size = 5 + width(self.grant) + width(self.sent) + load  # three counts take a byte each, if they are small
        if len(parcels) > 127:
            size += width(len(parcels)) - 1
        if wants:
            size += width(len(wants)) - 1 + SHORT_BYTES * len(wants)
        if notices:
            sizes = [len(notice.encode()) for notice in notices]
            size += width(len(notices)) - 1 + sum([width(length) + length for length in sizes])
        if self.haves or self.prunes:
            size += width(len(self.prunes)) + SHORT_BYTES * len(self.prunes) + width(len(self.haves))
        self.size = size


def size_of_have(have: Have) -> int:
    """Return how many bytes it is to say that one has a record."""
    version = have[2]
    return HAVE_BYTES + 1 if version < 128 else HAVE_BYTES + width(version)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A notice as a message of the topic."""

    notice: Notice

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return 1 + len(self.notice.encode())


Entry = tuple[bytes, int, int, int]
"""What one peer knows of an owner: short form, epoch, version, mark: the first bytes of the rank."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The first message of a repair session: the fingerprints of all buckets.

    ``full``: buckets whose entries are asked for though their fingerprints may be equal.
    """

    fingerprints: tuple[int, ...]
    full: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        counts = width(len(self.fingerprints)) + width(len(self.full))
        return 1 + counts + FINGERPRINT_BYTES * len(self.fingerprints) + BUCKET_BYTES * len(self.full)


@dataclass(frozen=True, slots=True)
class Entries:
    """The answer, page by page: what the other side knows of the owners in the buckets that differ, in their order.

    ``last``: there are no more pages. A page may begin with more of the bucket that the page before ended with.
    """

    buckets: int
    entries: tuple[tuple[int, tuple[Entry, ...]], ...]
    last: bool = True
    size: int = field(init=False, repr=False, compare=False)
    """Bytes on the wire. There may be thousands of entries, so they are looked at once."""

    def __post_init__(self) -> None:
        """Find out the size."""
        size = 2 + width(self.buckets) + width(len(self.entries))
        for _, found in self.entries:
            size += BUCKET_BYTES + width(len(found)) + ENTRY_BYTES * len(found)
            size += sum([1 if version < 128 else width(version) for _, _, version, _ in found])
        object.__setattr__(self, "size", size)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The rest of a session, page by page: records that the receiver lacks, and owners that the sender lacks.

    ``last``: of who answers, that these are all the records that were asked for last; of who opened, the end.
    """

    parcels: tuple[Parcel, ...]
    wants: tuple[bytes, ...] = ()
    last: bool = True

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        parcels, wants = self.parcels, self.wants
        size = 2 + width(len(parcels)) + width(len(wants)) + SHORT_BYTES * len(wants)
        return size + sum([p.size for p in parcels]) + INTRODUCTION * len(parcels)


@dataclass(frozen=True, slots=True)
class SchemaAsk:
    """The first message of a catalog session: the hashes of schemas that are asked for."""

    hashes: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return 1 + width(len(self.hashes)) + HASH_BYTES * len(self.hashes)


@dataclass(frozen=True, slots=True)
class Bodies:
    """The answer, page by page: canonical forms, which say by their hash what they are. See `pubsub.catalog`.

    ``last``: what was asked for and has not come by now is not known.
    """

    bodies: tuple[bytes, ...]
    last: bool = True

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return 2 + width(len(self.bodies)) + sum([width(len(body)) + len(body) for body in self.bodies])


Place = tuple[int, int]
"""Where a row stands in the log of a machine: the number of the recording, and that of the row in it, from 1 on."""

PulledRow = tuple[int, int, bytes]
"""A row: the two numbers of its place, and what `history` made of it, which is opaque here."""


@dataclass(frozen=True, slots=True)
class RowsAsk:
    """A question for one page of the log of a machine of the other side's own. See `pubsub.pull`.

    Attributes:
        machine: its id.
        after: where the rows begin: at the next one.
        until: where they end, this one included; None: with what there is by now.
    """

    machine: str
    after: Place
    until: Place | None = None

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        length = len(self.machine.encode())
        places = self.after if self.until is None else self.after + self.until
        return 2 + width(length) + length + sum([width(number) for number in places])


@dataclass(frozen=True, slots=True)
class Rows:
    """The answer: a page. ``last``: there are no more rows in the range."""

    rows: tuple[PulledRow, ...]
    last: bool = True

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return 2 + width(len(self.rows)) + sum([size_of_row(row) for row in self.rows])


def size_of_row(row: PulledRow) -> int:
    """Return how many bytes a row has in a page."""
    epoch, seq, body = row
    length = len(body)
    return width(epoch) + width(seq) + width(length) + length


class Reason(IntEnum):
    """Why there is no page."""

    NONE_KEPT = 0  # no such log
    REFUSED = 1  # not for the one who asks
    BUSY = 2  # too many questions at a time: it is worth asking again


@dataclass(frozen=True, slots=True)
class RowsEnd:
    """The answer in place of a page."""

    reason: Reason

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return 2


def pages(parcels: Iterable[Parcel], limit: int = MAX_FRAME) -> list[tuple[Parcel, ...]]:
    """Return parcels in pages of at most `limit` bytes; a larger parcel is a page of its own. No parcels: no page."""
    out: list[tuple[Parcel, ...]] = []
    page: list[Parcel] = []
    size = 0
    for parcel in parcels:
        if page and size + parcel.size > limit:
            out.append(tuple(page))
            page, size = [], 0
        page.append(parcel)
        size += parcel.size
    if page:
        out.append(tuple(page))
    return out
