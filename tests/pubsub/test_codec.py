"""What peers say has one encoding, of exactly the size that it says, and no bytes do worse than a `WireError`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pubsub import Description, Domain, Header, Identity, Part, Proof, Record, WireError
from pubsub import codec as codec_module
from pubsub.boundary import CATALOG, CHANNELS, HISTORY, LINK, SYNC, TOPIC, Message
from pubsub.buckets import MAX_BUCKETS, MIN_BUCKETS
from pubsub.codec import (
    MAX_SIZE,
    ConnectionCodec,
    LinkDecoder,
    LinkEncoder,
    decode,
    encode,
    encode_frame,
)
from pubsub.identity import short_of
from pubsub.messages import (
    INTRODUCTION,
    MAX_HAVES,
    MAX_PAGE,
    MAX_PLACE,
    MAX_PRUNES,
    MAX_ROW,
    MAX_ROWS,
    Announcement,
    Bodies,
    Entries,
    Exchange,
    Frame,
    Parcel,
    Reason,
    Rows,
    RowsAsk,
    RowsEnd,
    SchemaAsk,
    Summary,
    width,
)
from pubsub.record import BYE, MAX_EPOCH, MAX_LEASE
from pubsub.suspicion import Suspicion
from pubsub.wire import U64, varint
from simulations.fuzz_messages import short_forms

ANNA, BEN, EVA = Identity(bytes(range(32))), Identity(bytes(32)), Identity(b"eva!" * 8)
DOMAIN = Domain("golden")

# -- strategies

numbers = st.integers(0, 300) | st.integers(0, U64)
owners = st.sampled_from([i.owner for i in (ANNA, BEN, EVA)])
headers = st.builds(
    Header,
    flags=st.sampled_from((0, BYE)),
    owner=owners,
    epoch=st.integers(0, MAX_EPOCH),
    version=st.integers(1, 300) | st.integers(1, U64),
    hlc=st.integers(0, U64),
    lease=st.integers(0, MAX_LEASE),
    root=st.binary(min_size=16, max_size=16),
    signature=st.binary(min_size=64, max_size=64),
)
parts = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 999)), max_size=3, unique_by=lambda t: t[0])


@st.composite
def records(draw: st.DrawFn) -> Record:
    ticks = tuple(sorted(draw(parts)))
    if draw(st.booleans()):
        return Record(draw(headers), (Part(0, ticks, 0, Description("m"), bytes(16)),), full=True)
    return Record(draw(headers), (Part(0, ticks),))


@st.composite
def proofs(draw: st.DrawFn) -> Proof:
    header = draw(headers)
    root = bytes(b ^ 255 for b in header.root)
    proof = Proof.of(header, replace(header, root=root, hlc=draw(numbers)))
    assert proof is not None
    return proof


suspicions = st.builds(
    Suspicion,
    target=owners,
    witness=owners,
    epoch=st.integers(0, MAX_EPOCH),
    version=numbers,
    since=st.integers(0, MAX_EPOCH),
    signature=st.binary(min_size=64, max_size=64),
)
notices = proofs() | suspicions
parcels = st.lists(records().map(Parcel.of), max_size=5).map(tuple)
shorts = st.binary(min_size=8, max_size=8)
wants = st.lists(shorts, max_size=5).map(tuple)
counts = st.integers(4, 12).map(lambda bits: 1 << bits)
place_numbers = st.integers(0, 300) | st.integers(0, MAX_PLACE)
places = st.tuples(place_numbers, place_numbers)
told = st.lists(notices, max_size=3).map(tuple)
haves = st.lists(st.tuples(shorts, st.integers(0, MAX_EPOCH), numbers), max_size=5).map(tuple)
frames = st.builds(Frame, parcels, numbers, wants, st.booleans(), told, numbers, st.booleans(), wants, haves)


@st.composite
def summaries(draw: st.DrawFn) -> Summary:
    count = draw(st.sampled_from((16, 32, 256)))
    fingerprints = draw(st.lists(st.integers(0, (1 << 32) - 1), min_size=count, max_size=count))
    return Summary(tuple(fingerprints), tuple(sorted(draw(st.sets(st.integers(0, count - 1), max_size=4)))))


@st.composite
def entries(draw: st.DrawFn) -> Entries:
    count = draw(counts)
    found = st.lists(st.tuples(shorts, st.integers(0, MAX_EPOCH), numbers, st.integers(0, 2**32 - 1)), max_size=4)
    buckets = sorted(draw(st.sets(st.integers(0, count - 1), max_size=4)))
    return Entries(count, tuple((bucket, tuple(draw(found))) for bucket in buckets), draw(st.booleans()))


said: dict[int, st.SearchStrategy[Message]] = {
    TOPIC: records().map(Parcel.of) | st.builds(Announcement, notices),
    LINK: frames,
    SYNC: summaries() | entries() | st.builds(Exchange, parcels, wants, st.booleans()),
    CATALOG: st.builds(SchemaAsk, st.lists(st.binary(min_size=16, max_size=16), max_size=5).map(tuple))
    | st.builds(Bodies, st.lists(st.binary(max_size=200), max_size=4).map(tuple), st.booleans()),
    HISTORY: st.builds(RowsAsk, st.text(max_size=12), places, st.none() | places)
    | st.builds(Rows, st.lists(st.tuples(place_numbers, place_numbers, st.binary(max_size=200)), max_size=4).map(tuple))
    | st.builds(RowsEnd, st.sampled_from(Reason)),
}
anything = st.one_of([s.map(lambda m, c=channel: (c, m)) for channel, s in said.items()])  # type: ignore[misc]


def as_bytes(channel: int, message: Message) -> bytes:
    return ConnectionCodec().encode(channel, message)


# -- laws


@given(anything)
def test_a_message_comes_back(given_message: tuple[int, Message]) -> None:
    channel, message = given_message
    assert ConnectionCodec().decode(channel, as_bytes(channel, message)) == message


@given(anything)
def test_a_message_has_the_size_that_it_says(given_message: tuple[int, Message]) -> None:
    channel, message = given_message
    more = 0
    if isinstance(message, Frame):
        more = INTRODUCTION * len({p.record.header.owner for p in message.parcels})
    elif isinstance(message, Parcel):  # kind instead of a length, and the whole owner
        more = INTRODUCTION - 1
    assert len(as_bytes(channel, message)) == message.size + more


@given(frames, frames)
def test_a_frame_has_exactly_its_size_once_the_owners_were_introduced(first: Frame, second: Frame) -> None:
    encoder, decoder = LinkEncoder(), LinkDecoder()
    everybody = Frame(tuple(Parcel.of(Record(p.record.header, ())) for p in first.parcels + second.parcels), 0)
    decoder.decode(encoder.encode(everybody))
    for frame in (first, second):
        data = encoder.encode(frame)
        assert len(data) == frame.size
        assert decoder.decode(data) == frame


@given(anything, st.data())
def test_whatever_is_accepted_encodes_to_the_same_bytes(
    given_message: tuple[int, Message], data: st.DataObject
) -> None:
    channel, message = given_message
    raw = bytearray(as_bytes(channel, message))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(channel, bytes(raw))
    except WireError:
        return
    assert (encode_frame(found, short_forms(bytes(raw))) if isinstance(found, Frame) else encode(found)) == raw


@given(anything)
def test_no_end_is_missing_or_left_over(given_message: tuple[int, Message]) -> None:
    channel, message = given_message
    data = as_bytes(channel, message)
    for end in range(len(data)):
        with pytest.raises(WireError):
            decode(channel, data[:end])
    with pytest.raises(WireError):
        decode(channel, data + b"\0")


@given(st.sampled_from(range(len(CHANNELS))), st.binary(max_size=60))
@example(LINK, b"")
def test_noise_is_refused_or_read_and_never_worse(channel: int, data: bytes) -> None:
    try:
        found = decode(channel, data)
    except WireError:
        return
    assert as_bytes(channel, found) == data


@given(anything)
def test_a_message_belongs_on_its_channel_only(given_message: tuple[int, Message]) -> None:
    channel, message = given_message
    for other in range(len(CHANNELS)):
        if other != channel:
            with pytest.raises(WireError, match="belong"):
                decode(other, as_bytes(channel, message))


@given(st.integers(0, U64))
@example(127)
@example(128)
def test_the_width_of_a_number_is_that_of_its_bytes(value: int) -> None:
    assert width(value) == len(varint(value))


# -- the golden bytes


def header(owner: Identity = ANNA, **more: object) -> Header:
    fields: dict[str, object] = {"flags": 0, "owner": owner.owner, "epoch": 1, "version": 2, "hlc": 3, "lease": 4}
    return Header(**{**fields, "root": bytes(16), **more}).sign(owner, DOMAIN)  # type: ignore[arg-type]


RECORD = Record(header(), (Part(0, ((1, 5),), 1),))
SHORT = RECORD.encode(short=True)
LONG = RECORD.encode()
PROOF = Proof(*sorted((header(), header(root=b"\1" * 16)), key=lambda head: head.rank))
SUSPICION = Suspicion(BEN.owner, ANNA.owner, 1, 2, 3).sign(ANNA, DOMAIN)
PARCEL = Parcel.of(RECORD)
ASK = short_of(BEN.owner)
GOLDEN: list[tuple[int, Message, bytes]] = [
    (LINK, Frame((), 300), b"\x01\x00\xac\x02\x00\x00\x00\x00"),
    (LINK, Frame((), 300, parting=True), b"\x01\x02\xac\x02\x00\x00\x00\x00"),
    (
        LINK,
        Frame((), 300, prunes=(ASK,), haves=((ASK, 258, 300),)),
        b"\x01\x04\xac\x02\x00\x00\x00\x00\x01" + ASK + b"\x01" + ASK + b"\x00\x00\x01\x02\xac\x02",
    ),
    (
        LINK,
        Frame((PARCEL, PARCEL), 7, (ASK,), True, (PROOF,), 128),
        b"\x01\x01\x07\x80\x01\x02"
        + b"\x00\x87"
        + LONG
        + b"\x00\x6f"
        + SHORT
        + b"\x01"
        + ASK
        + b"\x01\xe8\x01"
        + PROOF.encode(),
    ),
    (
        SYNC,
        Summary((1, 258) + (0,) * 14, (3, 9)),
        b"\x02\x10\x00\x00\x00\x01\x00\x00\x01\x02" + bytes(56) + b"\x02\x00\x03\x00\x09",
    ),
    (
        SYNC,
        Entries(256, ((2, ()), (255, ((ASK, 1, 300, 7),))), last=False),
        b"\x03\x00\x80\x02\x02" + b"\x00\x02\x00" + b"\x00\xff\x01" + ASK + b"\x00\x00\x00\x01\xac\x02\x00\x00\x00\x07",
    ),
    (SYNC, Exchange((PARCEL,), (ASK,), last=False), b"\x04\x00\x01\x00\x87" + LONG + b"\x01" + ASK),
    (CATALOG, SchemaAsk((b"h" * 16,)), b"\x05\x01" + b"h" * 16),
    (CATALOG, Bodies((b"body",)), b"\x06\x01\x01\x04body"),
    (HISTORY, RowsAsk("doör", (1, 300)), b"\x07\x00\x05do\xc3\xb6r\x01\xac\x02"),
    (HISTORY, RowsAsk("", (0, 0), (2, 9)), b"\x07\x01\x00\x00\x00\x02\x09"),
    (HISTORY, Rows(((1, 128, b"row"),), last=False), b"\x08\x00\x01\x01\x80\x01\x03row"),
    (HISTORY, RowsEnd(Reason.BUSY), b"\x09\x02"),
    (TOPIC, PARCEL, b"\x0a" + LONG),
    (TOPIC, Announcement(PROOF), b"\x0b" + PROOF.encode()),
    (TOPIC, Announcement(SUSPICION), b"\x0b" + SUSPICION.encode()),
]


@pytest.mark.parametrize(("channel", "message", "data"), GOLDEN, ids=lambda value: type(value).__name__)
def test_the_bytes_are_these(channel: int, message: Message, data: bytes) -> None:
    assert as_bytes(channel, message) == data
    assert ConnectionCodec().decode(channel, data) == message


# -- who knows whom


def test_an_owner_is_introduced_once_in_each_direction() -> None:
    here, there = ConnectionCodec(), ConnectionCodec()
    frame = Frame((Parcel.of(RECORD),), 0)
    sizes = []
    for end, other in ((here, there), (here, there), (there, here), (there, here)):
        data = end.encode(LINK, frame)
        sizes.append(len(data) - frame.size)
        assert other.decode(LINK, data) == frame
    assert sizes == [INTRODUCTION, 0, INTRODUCTION, 0]


def test_a_new_connection_knows_nobody() -> None:
    encoder = LinkEncoder()
    frame = Frame((Parcel.of(RECORD),), 0)
    encoder.encode(frame)
    with pytest.raises(WireError, match="not introduced"):
        LinkDecoder().decode(encoder.encode(frame))


def test_an_owner_may_be_introduced_again() -> None:
    decoder = LinkDecoder()
    frame = Frame((Parcel.of(RECORD),), 0)
    for _ in range(2):
        assert decoder.decode(encode_frame(frame, [False])) == frame


def test_a_full_memory_of_owners_costs_bytes_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_module, "MAX_INTRODUCED", 1)
    encoder, decoder = LinkEncoder(), LinkDecoder()
    both = Frame(tuple(Parcel.of(Record(header(who), ())) for who in (ANNA, BEN)), 0)
    for more in (2, 1, 1):
        data = encoder.encode(both)
        assert len(data) == both.size + more * INTRODUCTION
        assert decoder.decode(data) == both


def test_two_owners_with_one_short_form_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """As two keys with the same hash of 8 bytes are hard to find, let all have the same."""
    monkeypatch.setattr(codec_module, "short_of", lambda owner: b"8 bytes!")
    encoder = LinkEncoder()
    frame = Frame(tuple(Parcel.of(Record(header(who), ())) for who in (ANNA, BEN, ANNA, BEN)), 0)
    assert short_forms(encoder.encode(frame)) == [False, False, True, False]


# -- limits


def test_what_is_too_long_is_not_looked_at() -> None:
    for channel, limit in MAX_SIZE.items():
        with pytest.raises(WireError, match="more than"):
            decode(channel, bytes(limit + 1))


@pytest.mark.parametrize("data", [b"\x01\x00\x00\x00\xff\xff\xff\xff\x0f", b"\x04\x01\xff\xff\xff\xff\x0f"])
def test_a_count_that_cannot_be_is_refused_before_anything_is_read(data: bytes) -> None:
    with pytest.raises(WireError, match="limit"):
        decode(LINK if data[0] == 1 else SYNC, data)


def _bad_buckets() -> Iterator[Message]:
    yield Summary((0,) * (MIN_BUCKETS // 2))
    yield Summary((0,) * (MAX_BUCKETS * 2))
    yield Summary((0,) * 17)
    yield Summary((0,) * 16, (16,))
    yield Summary((0,) * 16, (3, 3))
    yield Entries(24, ())
    yield Entries(16, ((16, ()),))
    yield Entries(16, ((4, ()), (4, ())))
    yield Entries(16, ((4, ()), (1, ())))


@pytest.mark.parametrize("message", list(_bad_buckets()))
def test_buckets_that_are_not_there_or_come_twice_are_refused(message: Message) -> None:
    with pytest.raises(WireError):
        decode(SYNC, encode(message))


@pytest.mark.parametrize(
    "rows",
    [
        [(1, 1, bytes(MAX_ROW + 1))],
        [(1, seq, bytes(MAX_ROW // 2)) for seq in range(1, 4)],
        [(1, seq, b"") for seq in range(MAX_ROWS + 1)],
    ],
    ids=["row", "page", "rows"],
)
def test_a_page_of_rows_is_bounded(rows: list[tuple[int, int, bytes]]) -> None:
    with pytest.raises(WireError):
        decode(HISTORY, encode(Rows(tuple(rows))))
    assert Rows(tuple(rows[:1])).size < MAX_PAGE


def test_what_is_no_message_is_not_encoded() -> None:
    with pytest.raises(TypeError, match="str is no message"):
        encode("hello")


def test_the_largest_frame_of_a_link_fits() -> None:
    small = [Parcel.of(Record(header(), ())) for _ in range(64 * 1024 // Parcel.of(Record(header(), ())).size)]
    lazy = ((ASK,) * MAX_PRUNES, ((ASK, 1, U64),) * MAX_HAVES)
    frame = Frame(tuple(small), U64, (ASK,) * 512, True, (PROOF,) * 16, U64, False, *lazy)
    data = encode_frame(frame, [False] * len(small))
    assert len(data) < MAX_SIZE[LINK]
    assert LinkDecoder().decode(data) == frame
