"""What docs/gossip.md says about bytes, numbers and names is true today.

Each example of the page is put together here, field by field, and compared with what the code encodes and decodes. To
see the blocks as they have to stand there: ``python tests/pubsub/test_gossip_doc.py``.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from hashlib import blake2b
from pathlib import Path

import pytest

from machine import Schema, State
from pubsub import Description, Domain, Header, Identity, MachineState, OwnerState, Proof
from pubsub.accept import Verdict
from pubsub.boundary import CATALOG, HISTORY, LINK, SYNC, TOPIC
from pubsub.buckets import Buckets
from pubsub.catalog import CatalogCounts
from pubsub.codec import ConnectionCodec
from pubsub.identity import short_of
from pubsub.lazy import LazyCounts
from pubsub.link import LinkCounts
from pubsub.members import Hearing, Status
from pubsub.messages import (
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
)
from pubsub.numbers import Numbers
from pubsub.parameters import CoreCounts, Parameters
from pubsub.proof import decode_proof
from pubsub.pull import Outcome, PullCounts
from pubsub.record import BYE, decode_record
from pubsub.repair import RepairCounts
from pubsub.schemas import decode_schema, encode_schema, hash_of_body
from pubsub.serve import ServingCounts
from pubsub.state import merge, root_of
from pubsub.suspicion import decode_suspicion, suspect
from pubsub.wire import Reader, text, varint

PAGE = Path(__file__).parents[2] / "docs" / "gossip.md"

ANNA, BEN = Identity(bytes(range(32))), Identity(bytes(32))
DOMAIN = Domain("home")
DOOR = Schema({"Open": State(remove="Closed"), "Closed": State(auto=True, remove="Open")})
BODY = encode_schema(DOOR)
HASH = hash_of_body(BODY)
DOOR_1 = Description("door", ("front",))
EPOCH, HLC = 1_360_000_000, 1_360_000_000_500 << 16


def state_of(version: int, ticks: tuple[int, ...], flags: int = 0) -> OwnerState:
    """Return Anna's state: one door."""
    machine = MachineState.build(0, DOOR_1, HASH, ticks)
    header = Header(flags, ANNA.owner, EPOCH, version, HLC + version, 60, root_of([machine]))
    return OwnerState(header.sign(ANNA, DOMAIN), {0: machine})


FIRST, SECOND, OTHER = state_of(1, (0, 1)), state_of(2, (1, 2)), state_of(2, (3, 2))
FULL, DELTA = FIRST.record(), SECOND.record(full=False, since=FIRST)
PROOF = Proof(*sorted((SECOND.header, OTHER.header), key=lambda head: head.rank))
SUSPICION = suspect(BEN, DOMAIN, ANNA.owner, (EPOCH, 2), 1_360_000_042)
SHORT = short_of(ANNA.owner)

Field = tuple[bytes | str, str]  # bytes, or the name of another example; what it is


EXAMPLES: dict[str, list[Field]] = {}


def raw(name: str) -> bytes:
    """Return an example as bytes."""
    return b"".join([raw(what) if isinstance(what, str) else what for what, _ in EXAMPLES[name]])


def header(head: Header, *, short: bool = False) -> list[Field]:
    """Return the fields of a header."""
    owner: Field = (short_of(head.owner), "owner, short form") if short else (head.owner, "owner")
    return [
        (b"\1", "format"),
        (bytes((head.flags | 128 * short,)), "flags: short form" if short else "flags"),
        owner,
        (head.epoch.to_bytes(4, "big"), "epoch"),
        (varint(head.version), "version"),
        (head.hlc.to_bytes(8, "big"), "hybrid time"),
        (varint(head.lease), "lease"),
        (head.root, "root"),
        (head.signature, "signature"),
    ]


def parcel(name: str) -> list[Field]:
    """Return a record behind its length less one."""
    return [((len(raw(name)) - 1).to_bytes(2, "big"), "length of the record, less one"), (name, "")]


def fingerprints() -> tuple[int, ...]:
    """Return the fingerprints of whoever knows Anna's second state and nothing else."""
    numbers = Numbers()
    buckets = Buckets(numbers, [])
    buckets.put(numbers.of(ANNA.owner), None, SECOND)
    return tuple(buckets.fingerprints)


PRINTS = fingerprints()
BUCKET = PRINTS.index(SECOND.mark)

EXAMPLES |= {
    "varints": [(varint(n), str(n)) for n in (0, 127, 128, 300, 2**64 - 1)],
    "text": [(b"\5", "bytes"), ("Tür!".encode(), "“Tür!” in UTF-8")],
    "key": [(ANNA.owner, "key; seed 00 01 … 1f"), (SHORT, "its short form")],
    "schema": [
        (b"\1", "format"),
        (b"\3", "states"),
        (text("Open"), "name of state 0"),
        (b"\0", "flags"),
        (b"\0\0\1\1\0", "require 0, add 0, remove 1: state 1, after 0"),
        (b"\0", "tags"),
        (text("Closed"), "name of state 1"),
        (b"\1", "flags: auto"),
        (b"\0\0\1\0\0", "require 0, add 0, remove 1: state 0, after 0"),
        (b"\0", "tags"),
        (text("Exception"), "name of state 2"),
        (b"\2", "flags: multi"),
        (b"\0\0\0\0", "require 0, add 0, remove 0, after 0"),
        (b"\0", "tags"),
    ],
    "schema hash": [(HASH, "blake2b-128 of the schema")],
    "description": [(text("door"), "id"), (b"\1", "tags"), (text("front"), "a tag"), (b"\0", "parent: none")],
    "machine digest": [
        (b"\0", "index"),
        (DOOR_1.digest(), "blake2b-128 of the description"),
        ("schema hash", ""),
        (b"\0\1", "ticks, without zeros at the end"),
    ],
    "digests": [
        (FIRST[0].digest, "blake2b-128 of these: the digest of the machine"),
        (FIRST.header.root, "blake2b-128 of all digests: the root"),
        (FIRST.mark.to_bytes(4, "big"), "the mark of the state that this header covers"),
    ],
    "full record": [
        *header(FULL.header),
        (b"\1", "kind of body: full"),
        (b"\1", "parts"),
        (b"\0", "index"),
        (b"\3", "flags: description, schema"),
        ("description", ""),
        ("schema hash", ""),
        (b"\0", "base"),
        (b"\1\1\1", "ticks, sparse: 1 state; after a gap of 1, state 1 has ticked 1 time"),
    ],
    "delta": [
        *header(DELTA.header, short=True),
        (b"\0", "kind of body: delta"),
        (b"\1", "parts"),
        (b"\0", "index"),
        (b"\10", "flags: dense"),
        (b"\1", "base: version 1"),
        (b"\2\1\2", "ticks, dense: 2 states, 1 and 2"),
    ],
    "proof": [*header(PROOF.smaller), *header(PROOF.larger, short=True)],
    "suspicion": [
        (b"\x40", "kind"),
        (ANNA.owner, "target"),
        (BEN.owner, "witness"),
        (EPOCH.to_bytes(4, "big"), "epoch"),
        (b"\2", "version"),
        (SUSPICION.since.to_bytes(4, "big"), "since"),
        (SUSPICION.signature, "signature"),
    ],
}
EXAMPLES["frame"] = [
    (b"\1", "kind: frame"),
    (b"\1", "flags: ping"),
    (varint(262_144), "grant"),
    (varint(173), "sent before"),
    (b"\1", "parcels"),
    *parcel("delta"),
    (b"\1", "wants"),
    (SHORT, "a short form"),
    (b"\1", "notices"),
    (varint(len(raw("suspicion"))), "length of the notice"),
    ("suspicion", ""),
]
EXAMPLES["lazy frame"] = [
    (b"\1", "kind: frame"),
    (b"\4", "flags: lazy"),
    (varint(262_144), "grant"),
    (varint(173), "sent before"),
    (bytes(3), "no parcels, wants, notices"),
    (b"\1", "prunes"),
    (SHORT, "a short form"),
    (b"\1", "haves"),
    (SHORT, "short form"),
    (EPOCH.to_bytes(4, "big"), "epoch"),
    (b"\2", "version"),
]
EXAMPLES |= {
    "announcement": [(b"\x0b", "kind: notice"), ("suspicion", "")],
    "record on the topic": [(b"\x0a", "kind: record"), ("full record", "")],
    "summary": [
        (b"\2", "kind: summary"),
        (b"\x10", "buckets"),
        (bytes(4 * BUCKET), f"fingerprints 0 to {BUCKET - 1}"),
        (SECOND.mark.to_bytes(4, "big"), f"fingerprint {BUCKET}: the mark of version 2"),
        (bytes(4 * (15 - BUCKET)), f"{BUCKET + 1} to 15"),
        (b"\1", "buckets in full"),
        (b"\0\3", "bucket 3"),
    ],
    "entries": [
        (b"\3", "kind: entries"),
        (b"\1", "flags: last"),
        (b"\x10", "buckets"),
        (b"\1", "buckets that follow"),
        (BUCKET.to_bytes(2, "big"), "bucket"),
        (b"\1", "entries"),
        (SHORT, "short form"),
        (EPOCH.to_bytes(4, "big"), "epoch"),
        (b"\2", "version"),
        (SECOND.mark.to_bytes(4, "big"), "mark"),
    ],
    "exchange": [
        (b"\4", "kind: exchange"),
        (b"\1", "flags: last"),
        (b"\1", "parcels"),
        *parcel("full record"),
        (b"\1", "wants"),
        (short_of(BEN.owner), "a short form"),
    ],
    "schema ask": [(b"\5", "kind: schema ask"), (b"\1", "hashes"), ("schema hash", "")],
    "bodies": [
        (b"\6", "kind: bodies"),
        (b"\1", "flags: last"),
        (b"\1", "bodies"),
        (varint(len(BODY)), "length"),
        ("schema", ""),
    ],
    "rows ask": [
        (b"\7", "kind: rows ask"),
        (b"\1", "flags: until"),
        (text("door"), "id of the machine"),
        (b"\1\7", "after: epoch 1, seq 7"),
        (b"\1\x63", "until: epoch 1, seq 99"),
    ],
    "rows": [
        (b"\x08", "kind: rows"),
        (b"\0", "flags: not the last page"),
        (b"\1", "rows"),
        (b"\1\x08", "epoch 1, seq 8"),
        (text("…"), "length, and the row"),
    ],
    "rows end": [(b"\x09", "kind: rows end"), (b"\2", "reason: busy")],
}
MEANT: dict[str, tuple[int, object]] = {
    "record on the topic": (TOPIC, Parcel.of(FULL)),
    "announcement": (TOPIC, Announcement(SUSPICION)),
    "summary": (SYNC, Summary(PRINTS, (3,))),
    "entries": (SYNC, Entries(16, ((BUCKET, ((SHORT, EPOCH, 2, SECOND.mark),)),))),
    "exchange": (SYNC, Exchange((Parcel.of(FULL),), (short_of(BEN.owner),))),
    "schema ask": (CATALOG, SchemaAsk((HASH,))),
    "bodies": (CATALOG, Bodies((BODY,))),
    "rows ask": (HISTORY, RowsAsk("door", (1, 7), (1, 99))),
    "rows": (HISTORY, Rows(((1, 8, "…".encode()),), last=False)),
    "rows end": (HISTORY, RowsEnd(Reason.BUSY)),
}


def rendered(name: str) -> str:
    """Return an example as the page shows it."""
    lines = [f"{name}:"]
    for what, meaning in EXAMPLES[name]:
        if isinstance(what, str):
            lines.append(f"<{what}>")
            continue
        chunks = [what[at : at + 32].hex(" ") for at in range(0, len(what), 32)] or [""]
        chunks[0] = f"{chunks[0]:<47} {meaning}"
        lines += chunks
    return "\n".join(line.rstrip() for line in lines)


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def blocks() -> list[str]:
    """Return the examples; one fence may hold several, each behind an empty line."""
    fences = re.findall(r"^```hex\n(.*?)\n```$", page(), re.MULTILINE | re.DOTALL)
    return [block for fence in fences for block in fence.split("\n\n")]


def test_the_page_shows_each_example_once() -> None:
    assert sorted(blocks()) == sorted(rendered(name) for name in EXAMPLES)


def test_records_are_what_the_code_writes() -> None:
    assert raw("full record") == FULL.encode()
    assert raw("delta") == DELTA.encode(short=True)
    assert decode_record(raw("full record")) == FULL
    assert decode_record(raw("delta"), {SHORT: ANNA.owner}) == DELTA
    assert FULL.header.is_signed(DOMAIN)
    assert DELTA.header.is_signed(DOMAIN)
    assert merge(merge(None, FULL), DELTA) == SECOND


def test_what_is_hashed_and_signed_is_as_the_page_says() -> None:
    assert raw("schema") == BODY
    assert decode_schema(BODY) == DOOR
    assert raw("description") == DOOR_1.encode()
    digest = blake2b(raw("machine digest"), digest_size=16).digest()
    assert digest == FIRST[0].digest
    assert blake2b(digest, digest_size=16).digest() == FIRST.header.root
    signed = raw("full record")[: 2 + 32 + 4 + 1 + 8 + 1 + 16]
    assert blake2b(signed, digest_size=16).digest() == FIRST.header.rank
    assert FIRST.header.rank[:4] == FIRST.mark.to_bytes(4, "big")
    assert FULL.header.signature == ANNA.sign(text("asyncmachine/clk/1") + text("home") + signed)
    said = text("asyncmachine/clk/1") + text("home") + b"\0suspicion" + raw("suspicion")[1:-64]
    assert SUSPICION.signature == BEN.sign(said)
    assert int.from_bytes(SHORT[:2], "little") % 16 == BUCKET
    with_key = Domain("home", b"secret")
    bound = text("asyncmachine/clk/1") + text("home") + signed
    assert with_key.bind(signed) == bound + blake2b(bound, key=b"secret", digest_size=16).digest()


def test_proofs_and_suspicions_are_what_the_code_writes() -> None:
    assert raw("proof") == PROOF.encode()
    assert decode_proof(raw("proof")) == PROOF
    assert PROOF.is_valid(DOMAIN)
    assert raw("suspicion") == SUSPICION.encode()
    assert decode_suspicion(raw("suspicion")) == SUSPICION
    assert SUSPICION.is_signed(DOMAIN)


@pytest.mark.parametrize("name", MEANT)
def test_messages_are_what_the_code_writes(name: str) -> None:
    channel, message = MEANT[name]
    assert ConnectionCodec().encode(channel, message) == raw(name)  # type: ignore[arg-type]
    assert ConnectionCodec().decode(channel, raw(name)) == message


def test_the_frame_is_what_a_link_says_to_whom_it_has_introduced_the_owner() -> None:
    ours, theirs = ConnectionCodec(), ConnectionCodec()
    first = Frame((Parcel.of(FULL),), 262_144)
    assert theirs.decode(LINK, ours.encode(LINK, first)) == first
    frame = Frame((Parcel.of(DELTA),), 262_144, (SHORT,), True, (SUSPICION,), 173)
    assert ours.encode(LINK, frame) == raw("frame")
    assert theirs.decode(LINK, raw("frame")) == frame
    assert frame.size == len(raw("frame"))


def test_the_lazy_frame_is_what_a_link_says_to_whom_does_not_want_the_record() -> None:
    frame = Frame((), 262_144, sent=173, prunes=(SHORT,), haves=((SHORT, EPOCH, 2),))
    assert ConnectionCodec().encode(LINK, frame) == raw("lazy frame")
    assert ConnectionCodec().decode(LINK, raw("lazy frame")) == frame
    assert frame.size == len(raw("lazy frame"))


def test_varints_and_texts_are_what_the_code_writes() -> None:
    reader = Reader(raw("varints"))
    assert [reader.varint() for _ in range(5)] == [0, 127, 128, 300, 2**64 - 1]
    reader.end()
    assert raw("text") == text("Tür!")


# -- numbers and names


UNITS = {"": 1, "ms": 1_000, "s": 1_000_000, "h": 3_600_000_000, "KiB": 1 << 10, "MiB": 1 << 20}


def value_of(cell: str) -> float:
    """Return the number in a cell; times in microseconds."""
    found = re.match(r"([\d,.]+) ?(ms|s|h|KiB|MiB|)\b", cell.strip())
    assert found is not None, cell
    return float(found[1].replace(",", "")) * UNITS[found[2]]


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| (`\w+\.\w+`[^|]*) \|$", page(), re.MULTILINE)
    told = [
        (value, *name.strip(" `").split("."))
        for values, names in rows
        for value, name in zip(values.split(";"), names.split(","), strict=True)
    ]
    assert len(told) > 90
    wrong = []
    for value, module, name in told:
        place = Parameters() if module == "parameters" else importlib.import_module(f"pubsub.{module}")
        if value_of(value) != getattr(place, name):
            wrong.append((module, name, value))
    assert wrong == []


@pytest.mark.parametrize("kind", [Verdict, Hearing, Status, Outcome, Reason], ids=lambda kind: kind.__name__)
def test_each_answer_that_there_is_has_its_name_on_the_page(kind: type[Enum]) -> None:
    assert [member.name for member in kind if f"`{member.name}`" not in page()] == []


COUNTS: Sequence[type] = (CoreCounts, LinkCounts, LazyCounts, RepairCounts, CatalogCounts, PullCounts, ServingCounts)


@pytest.mark.parametrize("kind", COUNTS, ids=lambda kind: kind.__name__)
def test_each_counter_has_its_name_on_the_page(kind: type) -> None:
    assert [field.name for field in fields(kind) if f"`{field.name}`" not in page()] == []


def test_a_bye_is_a_flag_of_the_header() -> None:
    assert state_of(3, (1, 2), BYE).header.encode()[1] == 1


if __name__ == "__main__":
    for example in EXAMPLES:
        print(f"```hex\n{rendered(example)}\n```\n")
