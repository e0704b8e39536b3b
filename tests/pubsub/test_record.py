"""A record has one encoding, and it is small."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub import Description, Domain, Header, Identity, Part, Proof, Record, WireError, decode_proof, decode_record
from pubsub.identity import short_of
from pubsub.record import (
    BYE,
    MAX_EPOCH,
    MAX_ID,
    MAX_INDEX,
    MAX_LEASE,
    MAX_MACHINES,
    MAX_RECORD,
    MAX_STATES,
    MAX_TAG,
    MAX_TAGS,
    MAX_TICK,
    read_header,
)
from pubsub.wire import U64, Reader, text, varint

ANNA = Identity(bytes(range(32)))
BEN = Identity(bytes(32))
DOMAIN = Domain("golden")
OWNERS = {short_of(i.owner): i.owner for i in (ANNA, BEN)}

# -- strategies

headers = st.builds(
    Header,
    flags=st.sampled_from((0, BYE)),
    owner=st.sampled_from((ANNA.owner, BEN.owner)),
    epoch=st.integers(0, MAX_EPOCH),
    version=st.integers(1, U64),
    hlc=st.integers(0, U64),
    lease=st.integers(0, MAX_LEASE),
    root=st.binary(min_size=16, max_size=16),
    signature=st.binary(min_size=64, max_size=64),
)
ids = st.text(max_size=12)
descriptions = st.builds(Description, ids, st.lists(ids, max_size=4).map(tuple), ids)
hashes = st.binary(min_size=16, max_size=16)
ticks = st.integers(1, 300) | st.integers(1, MAX_TICK)
sparse = st.dictionaries(st.integers(0, 40) | st.integers(0, MAX_STATES - 1), ticks, max_size=30)
dense = st.lists(st.just(0) | ticks, max_size=40).map(lambda v: {i: t for i, t in enumerate(v) if t})
vectors = (sparse | dense).map(lambda v: tuple(sorted(v.items())))


@st.composite
def records(draw: st.DrawFn) -> Record:
    header, full = draw(headers), draw(st.booleans())
    parts = []
    for index in sorted(draw(st.sets(st.integers(0, 20) | st.integers(0, MAX_INDEX), max_size=6))):
        if full:
            parts.append(Part(index, draw(vectors), 0, draw(descriptions), draw(hashes)))
        elif draw(st.integers(0, 4)) == 0:
            parts.append(Part(index, gone=True))
        else:
            base = draw(st.integers(0, header.version - 1))
            parts.append(Part(index, draw(vectors), base, draw(st.none() | descriptions), draw(st.none() | hashes)))
    return Record(header, tuple(parts), full)


# -- laws


@given(headers, st.booleans())
def test_a_header_comes_back(header: Header, short: bool) -> None:
    reader = Reader(header.encode(short=short))
    assert read_header(reader, OWNERS) == header
    reader.end()


@given(records(), st.booleans())
def test_a_record_comes_back(record: Record, short: bool) -> None:
    assert decode_record(record.encode(short=short), OWNERS) == record


@given(headers, headers)
def test_a_proof_comes_back(one: Header, two: Header) -> None:
    other = replace(two, owner=one.owner, epoch=one.epoch, version=one.version)
    proof = Proof.of(one, other)
    assert (proof is None) == (one.signed_part() == other.signed_part())
    if proof is not None:
        assert proof == Proof.of(other, one)
        assert decode_proof(proof.encode()) == proof


@given(records(), st.booleans(), st.data())
def test_whatever_is_accepted_encodes_to_the_same_bytes(record: Record, short: bool, data: st.DataObject) -> None:
    raw = bytearray(record.encode(short=short))
    head = len(record.header.encode(short=short))
    for _ in range(data.draw(st.integers(1, 3))):  # in the body mostly: a header is nearly free of structure
        raw[data.draw(st.integers(head, len(raw) - 1) | st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_record(bytes(raw), OWNERS)
    except WireError:
        return
    assert found.encode(short=raw[1] & 128 != 0) == raw


@given(records(), st.booleans())
def test_no_end_of_a_record_is_missing_or_left_over(record: Record, short: bool) -> None:
    data = record.encode(short=short)
    for end in range(len(data)):
        with pytest.raises(WireError):
            decode_record(data[:end], OWNERS)
    with pytest.raises(WireError, match="left over"):
        decode_record(data + b"\0", OWNERS)


@given(headers)
def test_a_short_form_stands_for_an_owner_that_was_introduced(header: Header) -> None:
    data = Record(header, ()).encode(short=True)
    assert len(data) == len(Record(header, ()).encode()) - 24
    for owners in (None, {}, {s: o for s, o in OWNERS.items() if o != header.owner}):
        with pytest.raises(WireError, match="not introduced"):
            decode_record(data, owners)


def test_a_table_of_short_forms_that_lies_is_noticed() -> None:
    data = Record(signed(0, 1, bytes(16)), ()).encode(short=True)
    with pytest.raises(WireError, match="canonical"):
        decode_record(data, {short_of(ANNA.owner): BEN.owner})


@given(records())
def test_the_short_form_is_not_what_is_signed(record: Record) -> None:
    header = record.header.sign(ANNA, DOMAIN) if record.header.owner == ANNA.owner else record.header.sign(BEN, DOMAIN)
    whole, short = Record(header, record.parts, record.full), record.full
    assert decode_record(whole.encode(short=True), OWNERS).header.is_signed(DOMAIN)
    assert decode_record(whole.encode(short=short), OWNERS) == decode_record(whole.encode(), OWNERS)


@given(records(), st.sampled_from(["flags", "owner", "epoch", "version", "hlc", "lease", "root"]), st.data())
def test_every_field_of_a_header_is_signed(record: Record, field: str, data: st.DataObject) -> None:
    header = replace(record.header, owner=ANNA.owner).sign(ANNA, DOMAIN)
    other = getattr(data.draw(headers.filter(lambda h: getattr(h, field) != getattr(header, field))), field)
    assert header.is_signed(DOMAIN)
    changed = replace(header, **{field: other})
    assert not changed.is_signed(DOMAIN)


# -- limits and canonical form, by hand

HEAD = Header(0, ANNA.owner, 1, 9, 3, 4, bytes(16), bytes(64)).encode()


def part(index: int, *, flags: int = 0, base: int = 0, body: bytes = b"\0") -> bytes:
    return varint(index) + bytes([flags]) + varint(base) + body


def many(*values: int) -> bytes:
    return b"".join(map(varint, values))


FULL_PART = Part(0, (), 0, Description("m"), bytes(16)).encode()
REFUSED = {
    "another format": b"\2" + HEAD[1:] + b"\0\0",
    "unknown header flags": HEAD[:1] + b"\2" + HEAD[2:] + b"\0\0",
    "a lease too long": Header(0, ANNA.owner, 1, 9, 3, MAX_LEASE + 1, bytes(16), bytes(64)).encode() + b"\0\0",
    "an unknown kind of body": HEAD + b"\2\0",
    "no body": HEAD,
    "fewer parts than said": HEAD + b"\0\2" + part(0),
    "more parts than said": HEAD + b"\0\1" + part(0) + part(1),
    "too many parts": HEAD + b"\0" + varint(MAX_MACHINES + 1),
    "a number of parts in a longer form": HEAD + b"\0\x80\0",
    "an index too large": HEAD + b"\0\1" + part(MAX_INDEX + 1),
    "an index twice": HEAD + b"\0\2" + part(3) + part(3),
    "indexes in disorder": HEAD + b"\0\2" + part(4) + part(3),
    "unknown part flags": HEAD + b"\0\1" + part(0, flags=16),
    "gone, and yet something": HEAD + b"\0\1" + part(0, flags=4 | 8),
    "gone, in a full body": HEAD + b"\1\1\0\4",
    "no description in a full body": HEAD + b"\1\1" + b"\0\2" + bytes(16) + b"\0\0",
    "no schema in a full body": HEAD + b"\1\1" + b"\0\1" + Description("m").encode() + b"\0\0",
    "a base in a full body": HEAD + b"\1\1" + FULL_PART[:-2] + b"\1\0",
    "a base that is no earlier version": HEAD + b"\0\1" + part(0, base=9),
    "an id too long": HEAD + b"\0\1\0\1" + text("x" * (MAX_ID + 1)),
    "a tag too long": HEAD + b"\0\1\0\1" + text("m") + b"\1" + text("x" * (MAX_TAG + 1)),
    "a tag of a megabyte, it says": HEAD + b"\0\1\0\1" + text("m") + b"\1" + varint(1 << 20),
    "too many tags": HEAD + b"\0\1\0\1" + text("m") + varint(MAX_TAGS + 1),
    "too many states": HEAD + b"\0\1" + part(0, body=varint(MAX_STATES + 1)),
    "too many states, densely": HEAD + b"\0\1" + part(0, flags=8, body=varint(MAX_STATES + 1)),
    "a state too far": HEAD + b"\0\1" + part(0, body=many(1, MAX_STATES, 1)),
    "a state too far, in two steps": HEAD + b"\0\1" + part(0, body=many(2, MAX_STATES - 1, 1, 0, 1)),
    "a tick too large": HEAD + b"\0\1" + part(0, body=many(1, 0, MAX_TICK + 1)),
    "a tick of 0": HEAD + b"\0\1" + part(0, body=many(1, 0, 0)),
    "dense where sparse is shorter": HEAD + b"\0\1" + part(0, flags=8, body=many(4, 0, 0, 0, 1)),
    "dense where sparse is as short": HEAD + b"\0\1" + part(0, flags=8, body=many(2, 0, 1)),
    "dense of nothing": HEAD + b"\0\1" + part(0, flags=8, body=many(0)),
    "dense of zeros": HEAD + b"\0\1" + part(0, flags=8, body=many(2, 0, 0)),
    "dense with a zero behind": HEAD + b"\0\1" + part(0, flags=8, body=many(4, 1, 1, 1, 0)),
    "sparse where dense is shorter": HEAD + b"\0\1" + part(0, body=many(3, 0, 1, 0, 1, 0, 1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_encoder_would_not_write_is_refused(name: str) -> None:
    with pytest.raises(WireError):
        decode_record(REFUSED[name], OWNERS)


def large(missing: int) -> Record:
    """Return a record of `MAX_RECORD` bytes less what is missing."""
    full = tuple("t" * MAX_TAG for _ in range(MAX_TAGS))
    parts = [Part(i, (), 0, Description("x" * MAX_ID, full), bytes(16)) for i in range(3)]
    for last in range(2 * MAX_TAG):
        some = (*full[:57], "f" * (last - last // 2), "f" * (last // 2))
        record = Record(signed(0, 1, bytes(16)), (*parts, Part(3, (), 0, Description("", some), bytes(16))), True)
        if len(record.encode()) == MAX_RECORD - missing:
            return record
    raise AssertionError


def test_a_record_is_as_large_as_it_may_be_and_not_a_byte_larger() -> None:
    for missing in (0, 1):
        assert decode_record(large(missing).encode()) == large(missing)
    with pytest.raises(WireError, match=f"{MAX_RECORD + 1} bytes are more than {MAX_RECORD}"):
        decode_record(large(-1).encode())
    with pytest.raises(WireError, match="format 0"):
        decode_record(bytes(MAX_RECORD))


def test_few_bytes_do_not_become_many() -> None:
    """Sixteen times a few bytes are 65,536 ticks, which is what a full body could hold; a seventeenth is refused."""
    far = ((MAX_STATES - 1, 1),)
    sixteen = Record(signed(0, 1, bytes(16)), tuple(Part(i, far) for i in range(16)))
    assert len(decode_record(sixteen.encode()).parts) == 16
    seventeen = Record(sixteen.header, (*sixteen.parts, Part(16, ((0, 1),))))
    with pytest.raises(WireError, match="states together"):
        decode_record(seventeen.encode())


# -- proofs, by hand


def signed(flags: int, version: int, root: bytes, identity: Identity = ANNA, epoch: int = 1_700_000_000) -> Header:
    stamp = 1_700_000_000_123 << 16 | 1
    return Header(flags, identity.owner, epoch, version, stamp, 60, root).sign(identity, DOMAIN)


LOW, HIGH = sorted((signed(0, 7, b"\1" * 16), signed(0, 7, b"\2" * 16)), key=lambda header: header.rank)


def test_a_proof_needs_two_signatures_that_contradict_each_other() -> None:
    assert Proof(LOW, HIGH).is_valid(DOMAIN)
    assert not Proof(LOW, HIGH).is_valid(Domain("other"))
    assert not Proof(HIGH, LOW).is_valid(DOMAIN)
    assert not Proof(LOW, LOW).is_valid(DOMAIN)
    assert not Proof(LOW, signed(0, 8, b"\2" * 16)).is_valid(DOMAIN)
    assert not Proof(LOW, signed(0, 7, b"\2" * 16, BEN)).is_valid(DOMAIN)
    assert not Proof(LOW, replace(HIGH, hlc=1)).is_valid(DOMAIN)
    assert not Proof(replace(LOW, hlc=1), HIGH).is_valid(DOMAIN)


def test_two_headers_with_one_root_contradict_each_other_too() -> None:
    stays, leaves = signed(0, 7, b"\1" * 16), signed(BYE, 7, b"\1" * 16)
    proof = Proof.of(stays, leaves)
    assert proof is not None
    assert proof.is_valid(DOMAIN)
    assert decode_proof(proof.encode()) == proof == Proof.of(leaves, stays)


@pytest.mark.parametrize(
    "data",
    [
        LOW.encode(),
        LOW.encode() + LOW.encode(short=True),
        HIGH.encode() + LOW.encode(short=True),
        LOW.encode() + HIGH.encode(),
        LOW.encode(short=True) + HIGH.encode(short=True),
        LOW.encode() + HIGH.encode(short=True) + b"\0",
        LOW.encode() + signed(0, 8, b"\2" * 16).encode(short=True),
        LOW.encode() + signed(0, 7, b"\2" * 16, BEN).encode(short=True),
    ],
    ids=["half", "twice the same", "wrong order", "long", "short", "more", "another version", "another owner"],
)
def test_what_proves_nothing_is_no_proof(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_proof(data)


# -- golden bytes: whoever changes one of these has made another protocol

SCHEMA = bytes.fromhex("00112233445566778899aabbccddeeff")
ROOT = bytes(range(16, 32))
TWENTY = Part(0, tuple((i, 100 + i) for i in range(20)), 41)
GOLDEN: dict[str, tuple[Record, bool]] = {
    "one changed state": (Record(signed(0, 42, ROOT), (Part(0, ((3, 17),), 41),)), True),
    "3 machines x 3 states": (
        Record(signed(0, 42, ROOT), tuple(Part(i, ((1, 17), (4, 300), (9, 5)), 41) for i in range(3))),
        True,
    ),
    "a vector of 20 states": (Record(signed(0, 42, ROOT), (TWENTY,)), True),
    "full": (
        Record(
            signed(0, 1, ROOT),
            (
                Part(0, ((0, 1), (1, 2), (2, 128)), 0, Description("door", ("lab", "floor:2"), "house"), SCHEMA),
                Part(5, ((200, 1),), 0, Description("ü"), SCHEMA),
            ),
            True,
        ),
        False,
    ),
    "bye": (Record(signed(BYE, 43, ROOT), ()), True),
    "tombstone": (Record(signed(0, 44, ROOT), (Part(2, gone=True), Part(300, gone=True))), True),
    "large numbers": (
        Record(signed(0, U64, ROOT, epoch=MAX_EPOCH), (Part(MAX_INDEX, ((MAX_STATES - 1, MAX_TICK),), U64 - 1),)),
        True,
    ),
}
SIZES = {"one changed state": 118, "3 machines x 3 states": 142, "a vector of 20 states": 155}
BYTES: dict[str, str] = {
    "one changed state": (
        "01807751cda99a5951226553f1002a018bcfe5687b00013c101112131415161718191a1b1c1d1e1f18ea32a36bb9a409288f"
        "c59dcc3cc924cdb08490f7dde0e164718affcc5376c4be9a8ba2bdb009291d6930c8e5a5d3567a72564bfb2e686a41c9094f"
        "d804c80c0001000029010311"
    ),
    "3 machines x 3 states": (
        "01807751cda99a5951226553f1002a018bcfe5687b00013c101112131415161718191a1b1c1d1e1f18ea32a36bb9a409288f"
        "c59dcc3cc924cdb08490f7dde0e164718affcc5376c4be9a8ba2bdb009291d6930c8e5a5d3567a72564bfb2e686a41c9094f"
        "d804c80c000300002903011102ac02040501002903011102ac02040502002903011102ac020405"
    ),
    "a vector of 20 states": (
        "01807751cda99a5951226553f1002a018bcfe5687b00013c101112131415161718191a1b1c1d1e1f18ea32a36bb9a409288f"
        "c59dcc3cc924cdb08490f7dde0e164718affcc5376c4be9a8ba2bdb009291d6930c8e5a5d3567a72564bfb2e686a41c9094f"
        "d804c80c0001000829146465666768696a6b6c6d6e6f7071727374757677"
    ),
    "full": (
        "010003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b86553f10001018bcfe5687b00013c1011"
        "12131415161718191a1b1c1d1e1f0c64ed1a1bcf6e5def17ae8a1ba67e1e2189ca4c3d9d4a98817e1966eef3105723d4a88d"
        "1d499fdb1104fe35573639f78eec5304bc30ea5c1bb88c3a3c32ca050102000b04646f6f7202036c616207666c6f6f723a32"
        "05686f75736500112233445566778899aabbccddeeff000301028001050302c3bc000000112233445566778899aabbccddee"
        "ff0001c80101"
    ),
    "bye": (
        "01817751cda99a5951226553f1002b018bcfe5687b00013c101112131415161718191a1b1c1d1e1f2baf59de25ca6b93f83c"
        "8b8b51d6247d221dd61b2ed50f272a3fe25691a971dec9b59745bc4358893f7295712dcddc42c7b589873bc3256f7ce93deb"
        "4f350c0e0000"
    ),
    "tombstone": (
        "01807751cda99a5951226553f1002c018bcfe5687b00013c101112131415161718191a1b1c1d1e1ffa606f461ca169a483c4"
        "d95d4ea43f014f7431be00f73fc8b46c7669fa9d8a6da107ba5157085d1c5cb71214b48e471304c39b0dedcd8e4ba76c7c96"
        "81c0010b00020204ac0204"
    ),
    "large numbers": (
        "01807751cda99a595122ffffffffffffffffffffffffff01018bcfe5687b00013c101112131415161718191a1b1c1d1e1f02"
        "7082e248623882ea7c959d120b0f01d4fc87d61a3a59ec5128467435ad1b222f67e154758437d0b50be40cee2c73f2064e0d"
        "51570da403d2d6660a88ecb0050001ffffffff0f00feffffffffffffffff0101ff1fffffffffffffff0f"
    ),
}
HEADER_BYTES = (
    "010003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b86553f1002a018bcfe5687b00013c1011"
    "12131415161718191a1b1c1d1e1f18ea32a36bb9a409288fc59dcc3cc924cdb08490f7dde0e164718affcc5376c4be9a8ba2"
    "bdb009291d6930c8e5a5d3567a72564bfb2e686a41c9094fd804c80c"
)
PROOF_BYTES = (
    "010003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b86553f10007018bcfe5687b00013c0202"
    "020202020202020202020202020224d7ea13ee14e0f8fd0fd166c044e82d303f61401033e2fb4739865ebd921897003c2ab9"
    "fd4604fd291aab972e0c4ebdeb31f603aa842c6b043406551d63000901807751cda99a5951226553f10007018bcfe5687b00"
    "013c01010101010101010101010101010101f3f7afa8df1f3e6807bd27820d8ed679b2b8eaa38d2abe3c4e39ccbe95b1a2e5"
    "3deadda329314a35f64d0bc14722effdfdf249ec18a90a4f55a6890dd0c53f02"
)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes(name: str) -> None:
    record, short = GOLDEN[name]
    data = record.encode(short=short)
    assert data.hex() == BYTES[name]
    assert decode_record(bytes.fromhex(BYTES[name]), OWNERS) == record
    assert record.header.is_signed(DOMAIN)
    assert len(data) <= SIZES.get(name, MAX_RECORD)


def test_golden_bytes_of_header_and_proof() -> None:
    header = signed(0, 42, ROOT)
    assert header.encode().hex() == HEADER_BYTES
    assert header.encode()[2:34] == ANNA.owner
    assert header.encode()[34:38] == struct.pack(">I", header.epoch)
    proof = Proof(LOW, HIGH)
    assert proof.encode().hex() == PROOF_BYTES
    assert decode_proof(bytes.fromhex(PROOF_BYTES)).is_valid(DOMAIN)
    assert len(proof.encode()) <= 260


def test_what_is_signed_is_golden_too() -> None:
    assert DOMAIN.bind(b"m") == b"\x12asyncmachine/clk/1\x06golden" + b"m"
    bound = Domain("golden", b"key").bind(b"m")
    assert bound == DOMAIN.bind(b"m") + bytes.fromhex("e66b3c05ddbe310a1c25c05c8974828c")
    header = signed(0, 42, ROOT)
    assert header.signed_part() == header.encode()[:-64]
