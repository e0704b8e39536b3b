"""What peers say to each other on links and in sessions. Immutable; ``size`` is the length of the encoding in bytes.

frame     flags u8, grant varint, parcels (length varint, record with the short owner), wants (8 B each)
summary   number of buckets varint, 4 B fingerprint each
entries   (bucket varint, entries) each; an entry is short 8 B, epoch tag u8, version 4 B, root tag u8
exchange  flags u8, wants (8 B each), parcels
ask       hashes (16 B each)
bodies    flags u8, schemas (length varint, canonical form)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pubsub.identity import SHORT_BYTES
from pubsub.record import HASH_BYTES, Record

FINGERPRINT_BYTES = 4
ENTRY_BYTES = SHORT_BYTES + 6
MAX_FRAME = 64 * 1024
_OVERHEAD = 8  # flags, counts and lengths of a message


@dataclass(frozen=True, slots=True)
class Parcel:
    """A record with its size, which is asked for at every hop."""

    record: Record
    size: int

    @classmethod
    def of(cls, record: Record) -> Parcel:
        """Return a record as a parcel: its short form behind a length."""
        return cls(record, len(record.encode(short=True)) + 2)


@dataclass(frozen=True, slots=True)
class Frame:
    """One message on the link of a connection.

    Attributes:
        parcels: records, the longest waiting first.
        grant: how many bytes of parcels, counted from the beginning of the link, the sender is ready to take.
        wants: short forms of owners whose whole state is asked for.
        ping: an answer is asked for.
    """

    parcels: tuple[Parcel, ...]
    grant: int
    wants: tuple[bytes, ...] = ()
    ping: bool = False

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return _OVERHEAD + sum([p.size for p in self.parcels]) + SHORT_BYTES * len(self.wants)


Entry = tuple[bytes, int, int, int]
"""What one peer knows of an owner: short form, epoch, version, first byte of the root."""


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
        return _OVERHEAD + FINGERPRINT_BYTES * len(self.fingerprints) + 2 * len(self.full)


@dataclass(frozen=True, slots=True)
class Entries:
    """The answer: what the other side knows of the owners in the buckets that differ."""

    buckets: int
    entries: tuple[tuple[int, tuple[Entry, ...]], ...]

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return _OVERHEAD + sum([2 + ENTRY_BYTES * len(found) for _, found in self.entries])


@dataclass(frozen=True, slots=True)
class Exchange:
    """The rest of a session, page by page: records that the receiver lacks, and owners that the sender lacks.

    ``last``: the sender has nothing more to send.
    """

    parcels: tuple[Parcel, ...]
    wants: tuple[bytes, ...] = ()
    last: bool = True

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return _OVERHEAD + sum([p.size for p in self.parcels]) + SHORT_BYTES * len(self.wants)


@dataclass(frozen=True, slots=True)
class SchemaAsk:
    """The first message of a catalog session: the hashes of schemas that are asked for."""

    hashes: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return _OVERHEAD + HASH_BYTES * len(self.hashes)


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
        return _OVERHEAD + sum([2 + len(body) for body in self.bodies])


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
