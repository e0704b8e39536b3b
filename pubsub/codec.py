"""Messages as bytes: canonical and bounded. The core passes objects, shells call this; `pubsub.messages` has the forms.

* What decodes, encodes to the same bytes, but for one choice: a record may introduce its owner again, see below.
* A decoder raises `WireError`, and nothing else. It looks at form and limits; signatures and sense are the core's.
* A message has the size that it says, ``len(encode(m)) == m.size``. Two exceptions: a frame has `INTRODUCTION` more for
  each owner that it introduces; and a parcel on the topic stands alone, so its size is off by that and a byte less.

Who knows the key of an owner that is there by its short form? Who was told on the same stream. The first record of an
owner in each direction of a link has the whole key, and both ends remember it (`LinkEncoder`, `LinkDecoder`): the first
`MAX_INTRODUCED` that come, nothing is ever let go of, and a second owner with the same short form always has its whole
key. So there is nothing to agree on but what both have seen. A stream loses nothing, and the memory of both ends begins
and ends with it: with a new stream come a new encoder and a new decoder. Sessions of repair are streams of their own,
and the topic has no order at all, so there the whole key is in each record.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

from pubsub.boundary import CATALOG, HISTORY, LINK, SYNC, TOPIC, Message
from pubsub.buckets import MAX_BUCKETS, MIN_BUCKETS
from pubsub.errors import WireError
from pubsub.identity import SHORT_BYTES, short_of
from pubsub.messages import (
    BUCKET_BYTES,
    ENTRY_BYTES,
    MAX_HAVES,
    MAX_PAGE,
    MAX_PLACE,
    MAX_PRUNES,
    MAX_ROW,
    MAX_ROWS,
    MAX_WANTS,
    Announcement,
    Bodies,
    Entries,
    Entry,
    Exchange,
    Frame,
    Have,
    Notice,
    Parcel,
    Place,
    PulledRow,
    Reason,
    Rows,
    RowsAsk,
    RowsEnd,
    SchemaAsk,
    Summary,
)
from pubsub.proof import decode_proof
from pubsub.record import FORMAT, HASH_BYTES, MAX_ID, MAX_RECORD, SHORT, decode_record
from pubsub.suspicion import decode_suspicion
from pubsub.wire import Reader, text, varint

# kinds of messages
FRAME, SUMMARY, ENTRIES, EXCHANGE, SCHEMA_ASK, BODIES, ROWS_ASK, ROWS, ROWS_END, RECORD, NOTICE = range(1, 12)
PING = LAST = UNTIL = 1  # flags
PARTING: Final = 2
LAZY: Final = 4

MAX_INTRODUCED = 16_384  # owners in one direction of a link; about 3 MB in a decoder
MAX_FULL = 64  # buckets in full that one summary may ask for
MAX_NOTICE = 1024  # bytes
# Bytes of a message: of 64 kB of what is paged, or one parcel that is larger, with some introductions and wants.
MAX_SIZE: Final = {TOPIC: MAX_RECORD + 1, LINK: 1 << 17, SYNC: 1 << 17, CATALOG: 1 << 17, HISTORY: 1 << 17}

_U16, _U32 = struct.Struct(">H"), struct.Struct(">I")
_ENTRY = struct.Struct(f">{SHORT_BYTES}sI")
_HEAD = 2  # bytes of the length of a parcel


def encode(message: object) -> bytes:
    """Return a message of the topic or of a session as bytes; for a frame, see `LinkEncoder`."""
    match message:
        case Parcel():
            return bytes((RECORD,)) + message.record.encode()
        case Announcement():
            return bytes((NOTICE,)) + message.notice.encode()
        case Summary():
            return _encode_summary(message)
        case Entries():
            return _encode_entries(message)
        case Exchange():
            parts = [_parcel(parcel.record.encode()) for parcel in message.parcels]
            return b"".join((bytes((EXCHANGE, LAST * message.last)), *_list(parts), *_list(message.wants)))
        case SchemaAsk():
            return b"".join((bytes((SCHEMA_ASK,)), *_list(message.hashes)))
        case Bodies():
            parts = [varint(len(body)) + body for body in message.bodies]
            return b"".join((bytes((BODIES, LAST * message.last)), *_list(parts)))
        case RowsAsk():
            places = message.after if message.until is None else message.after + message.until
            flags = 0 if message.until is None else UNTIL
            return b"".join((bytes((ROWS_ASK, flags)), text(message.machine), *map(varint, places)))
        case Rows():
            parts = [varint(epoch) + varint(seq) + varint(len(body)) + body for epoch, seq, body in message.rows]
            return b"".join((bytes((ROWS, LAST * message.last)), *_list(parts)))
        case RowsEnd():
            return bytes((ROWS_END, message.reason))
    raise TypeError(f"{type(message).__name__} is no message of the topic or of a session")


def decode(channel: int, data: bytes, owners: dict[bytes, bytes] | None = None) -> Message:
    """Return the message of a channel that bytes are.

    Args:
        channel: where they came in.
        data: one message, whole.
        owners: on a link, short form -> key of the owners that its other end has introduced; grows. See `LinkDecoder`.

    Raises:
        WireError: they are none. The stream that they came from is of no use any more.
    """
    if len(data) > MAX_SIZE[channel]:
        raise WireError(f"{len(data)} bytes are more than {MAX_SIZE[channel]}")
    reader = Reader(data)
    kind = reader.byte()
    read = _DECODERS[channel].get(kind)
    if read is None:
        raise WireError(f"a message of kind {kind} does not belong here")
    message = _read_frame(reader, {} if owners is None else owners) if kind == FRAME else read(reader)
    reader.end()
    return message


class LinkEncoder:
    """One direction of a link, where it begins. To be used for what is then really sent, in this order.

    A frame that was encoded and could not be sent is the end of the link: its introductions would be missing.
    """

    def __init__(self) -> None:
        self._owners: dict[bytes, bytes] = {}

    def encode(self, frame: Frame) -> bytes:
        """Return a frame as bytes: owners that were introduced by an earlier record are there by their short form."""
        return encode_frame(frame, [self._introduce(parcel.record.header.owner) for parcel in frame.parcels])

    def _introduce(self, owner: bytes) -> bool:
        """Tell whether an owner was introduced before, and do it if not."""
        known = self._owners.get(short := short_of(owner))
        if known is None and len(self._owners) < MAX_INTRODUCED:
            self._owners[short] = owner
        return known == owner


class LinkDecoder:
    """One direction of a link, where it ends. After a `WireError` the link is to be closed."""

    def __init__(self) -> None:
        self._owners: dict[bytes, bytes] = {}

    def decode(self, data: bytes) -> Frame:
        """Return the frame that bytes are.

        Raises:
            WireError: they are none, or an owner is there by a short form that was not introduced.
        """
        frame = decode(LINK, data, self._owners)
        assert isinstance(frame, Frame)
        return frame


class ConnectionCodec:
    """All messages of one end of a connection. A new stream for the link needs a new one."""

    def __init__(self) -> None:
        self._encoder, self._decoder = LinkEncoder(), LinkDecoder()

    def encode(self, channel: int, message: Message) -> bytes:
        """Return what is now to be sent as bytes."""
        return self._encoder.encode(message) if isinstance(message, Frame) else encode(message)

    def decode(self, channel: int, data: bytes) -> Message:
        """Return what was received.

        Raises:
            WireError: it is no message of this channel. The stream is to be closed.
        """
        return self._decoder.decode(data) if channel == LINK else decode(channel, data)


def encode_frame(frame: Frame, short: Iterable[bool]) -> bytes:
    """Return a frame as bytes; `short` says for each parcel whether its owner is there by the short form."""
    parts = [_parcel(p.record.encode(short=known)) for p, known in zip(frame.parcels, short, strict=True)]
    notices = [varint(len(body)) + body for body in [notice.encode() for notice in frame.notices]]
    is_lazy = bool(frame.prunes or frame.haves)
    flags = PING * frame.ping | PARTING * frame.parting | LAZY * is_lazy
    head = bytes((FRAME, flags)) + varint(frame.grant) + varint(frame.sent)
    data = b"".join((head, *_list(parts), *_list(frame.wants), *_list(notices)))
    if not is_lazy:
        return data
    haves = [_ENTRY.pack(short, epoch) + varint(version) for short, epoch, version in frame.haves]
    return b"".join((data, *_list(frame.prunes), *_list(haves)))


def _list(parts: Iterable[bytes]) -> tuple[bytes, ...]:
    listed = tuple(parts)
    return varint(len(listed)), *listed


def _parcel(record: bytes) -> bytes:
    return _U16.pack(len(record) - 1) + record


def _encode_summary(summary: Summary) -> bytes:
    count, full = len(summary.fingerprints), len(summary.full)
    fingerprints = struct.pack(f">{count}I", *summary.fingerprints)
    return bytes((SUMMARY,)) + varint(count) + fingerprints + varint(full) + struct.pack(f">{full}H", *summary.full)


def _encode_entries(entries: Entries) -> bytes:
    out = [bytes((ENTRIES, LAST * entries.last)), varint(entries.buckets), varint(len(entries.entries))]
    for bucket, found in entries.entries:
        out += (_U16.pack(bucket), varint(len(found)))
        for short, epoch, version, mark in found:
            out.append(_ENTRY.pack(short, epoch) + varint(version) + _U32.pack(mark))
    return b"".join(out)


# -- decoders. A count is checked against the bytes that are left: it costs nothing to claim more.


def _count(reader: Reader, least: int) -> int:
    """Read how many there are of something that has at least so many bytes."""
    return reader.varint(reader.left // least)


def _flag(reader: Reader) -> bool:
    flags = reader.byte()
    if flags > 1:
        raise WireError(f"unknown flags {flags:#x}")
    return flags == 1


def _read_record(reader: Reader) -> Parcel:
    return Parcel.of(decode_record(reader.take(reader.left)))


def _read_frame(reader: Reader, owners: dict[bytes, bytes]) -> Frame:
    flags = reader.byte()
    if flags & ~(PING | PARTING | LAZY):
        raise WireError(f"unknown flags {flags:#x}")
    grant, sent = reader.varint(), reader.varint()
    parcels = []
    for _ in range(_count(reader, _HEAD)):
        data = _read_parcel(reader)
        record = decode_record(data, owners)
        if data[1] & SHORT == 0 and len(owners) < MAX_INTRODUCED:
            owners.setdefault(short_of(record.header.owner), record.header.owner)
        parcels.append(Parcel.of(record))
    wants = _read_wants(reader)
    notices = tuple([_decode_notice(reader.take(reader.varint(MAX_NOTICE))) for _ in range(_count(reader, 2))])
    prunes, haves = _read_lazy(reader) if flags & LAZY else ((), ())
    ping, parting = flags & PING != 0, flags & PARTING != 0
    return Frame(tuple(parcels), grant, wants, ping, notices, sent, parting, prunes, haves)


def _read_lazy(reader: Reader) -> tuple[tuple[bytes, ...], tuple[Have, ...]]:
    prunes = tuple([reader.take(SHORT_BYTES) for _ in range(reader.varint(MAX_PRUNES))])
    haves = tuple([_read_have(reader) for _ in range(reader.varint(MAX_HAVES))])
    if not prunes and not haves:
        raise WireError("a frame is marked as lazy, and is not")
    return prunes, haves


def _read_have(reader: Reader) -> Have:
    short, epoch = _ENTRY.unpack(reader.take(_ENTRY.size))
    return short, epoch, reader.varint()


def _read_parcel(reader: Reader) -> bytes:
    (less,) = _U16.unpack(reader.take(_HEAD))
    return reader.take(less + 1)


def _read_wants(reader: Reader) -> tuple[bytes, ...]:
    return tuple([reader.take(SHORT_BYTES) for _ in range(reader.varint(MAX_WANTS))])


def _decode_notice(data: bytes) -> Notice:
    """Return what a notice is by its first byte: that of a header, or of a suspicion."""
    if data[:1] == bytes((FORMAT,)):
        return decode_proof(data)
    return decode_suspicion(data)


def _read_announcement(reader: Reader) -> Announcement:
    if reader.left > MAX_NOTICE:
        raise WireError(f"a notice has {reader.left} bytes")
    return Announcement(_decode_notice(reader.take(reader.left)))


def _read_summary(reader: Reader) -> Summary:
    count = _read_buckets(reader)
    fingerprints = struct.unpack(f">{count}I", reader.take(4 * count))
    full = struct.unpack(f">{(few := reader.varint(MAX_FULL))}H", reader.take(BUCKET_BYTES * few))
    _check_buckets(full, count)
    return Summary(fingerprints, full)


def _read_buckets(reader: Reader) -> int:
    count = reader.varint(MAX_BUCKETS)
    if count < MIN_BUCKETS or count & count - 1:
        raise WireError(f"{count} buckets are no power of two from {MIN_BUCKETS} to {MAX_BUCKETS}")
    return count


def _check_buckets(listed: Iterable[int], count: int) -> None:
    """Refuse buckets that are not there, or come twice: each costs the receiver the entries of all in it."""
    last = -1
    for at in listed:
        if not last < at < count:
            raise WireError(f"bucket {at} of {count} is not in order")
        last = at


def _read_entries(reader: Reader) -> Entries:
    last = _flag(reader)
    count = _read_buckets(reader)
    groups: list[tuple[int, tuple[Entry, ...]]] = []
    for _ in range(_count(reader, BUCKET_BYTES + 1)):
        (bucket,) = _U16.unpack(reader.take(BUCKET_BYTES))
        groups.append((bucket, tuple([_read_entry(reader) for _ in range(_count(reader, ENTRY_BYTES + 1))])))
    _check_buckets([bucket for bucket, _ in groups], count)
    return Entries(count, tuple(groups), last)


def _read_entry(reader: Reader) -> Entry:
    short, epoch = _ENTRY.unpack(reader.take(_ENTRY.size))
    version = reader.varint()
    (mark,) = _U32.unpack(reader.take(4))
    return short, epoch, version, mark


def _read_exchange(reader: Reader) -> Exchange:
    last = _flag(reader)
    parcels = tuple([Parcel.of(decode_record(_read_parcel(reader))) for _ in range(_count(reader, _HEAD))])
    return Exchange(parcels, _read_wants(reader), last)


def _read_schema_ask(reader: Reader) -> SchemaAsk:
    return SchemaAsk(tuple([reader.take(HASH_BYTES) for _ in range(_count(reader, HASH_BYTES))]))


def _read_bodies(reader: Reader) -> Bodies:
    last = _flag(reader)
    return Bodies(tuple([reader.take(reader.varint()) for _ in range(_count(reader, 1))]), last)


def _read_rows_ask(reader: Reader) -> RowsAsk:
    bounded, machine, after = _flag(reader), reader.text(MAX_ID), _read_place(reader)
    return RowsAsk(machine, after, _read_place(reader) if bounded else None)


def _read_place(reader: Reader) -> Place:
    return reader.varint(MAX_PLACE), reader.varint(MAX_PLACE)


def _read_rows(reader: Reader) -> Rows:
    last = _flag(reader)
    if reader.left > MAX_PAGE:
        raise WireError(f"a page of {reader.left} bytes is larger than {MAX_PAGE}")
    rows: list[PulledRow] = []
    for _ in range(reader.varint(MAX_ROWS)):
        rows.append((*_read_place(reader), reader.take(reader.varint(MAX_ROW))))
    return Rows(tuple(rows), last)


def _read_rows_end(reader: Reader) -> RowsEnd:
    try:
        return RowsEnd(Reason(reader.byte()))
    except ValueError as error:
        raise WireError(str(error)) from None


def _no_frame(reader: Reader) -> Message:
    raise AssertionError("a frame needs to know its owners")


_DECODERS: dict[int, dict[int, Callable[[Reader], Message]]] = {
    TOPIC: {RECORD: _read_record, NOTICE: _read_announcement},
    LINK: {FRAME: _no_frame},
    SYNC: {SUMMARY: _read_summary, ENTRIES: _read_entries, EXCHANGE: _read_exchange},
    CATALOG: {SCHEMA_ASK: _read_schema_ask, BODIES: _read_bodies},
    HISTORY: {ROWS_ASK: _read_rows_ask, ROWS: _read_rows, ROWS_END: _read_rows_end},
}
