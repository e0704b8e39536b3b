"""The log of a machine as bytes: how its rows go from one store into that of somebody else.

A row is the version of this format (u8) and a msgpack array; see `_Packed`. What decodes it needs nothing but the rows
of the same answer: the first one, and each one under another schema than the one before, has a `_Head` with the schema.
What follows from the rest is not sent: the active states are those with an odd tick, the time is the sum of the ticks.

What comes from somebody else may be anything. So `judge` refuses a page as a whole unless each row is one that a store
could have written behind those that are there: places and moments increase, ticks fit the schema and do not go back,
texts and masks are such as a question can read.
"""

from __future__ import annotations

import json
import re
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import gt
from typing import Annotated, Any

import msgspec

from history.codec import (
    BASE,
    ERROR,
    KIND,
    KINDS,
    UPDATE,
    RecordedSchema,
    Row,
    decode_ticks,
    encode_ticks,
    pack_masks,
    unpack_masks,
)
from history.errors import LogError
from history.store import MachineRow
from history.stream import Identity, active_mask
from machine.errors import AsyncMachineError

VERSION = 1
MAX_ROW = 60 * 1024  # bytes of a packed row: what a peer may send as one
MAX_ANSWER = 64 * 1024  # bytes of an answer, beyond its first row
MAX_TEXT = 1 << 20  # bytes of a schema or of arguments, unpacked
MAX_DEPTH = 200  # of arguments; Python's own parser gives up at some 1000
LONG = 512  # bytes; longer JSON is compressed
ZLIB = b"\x78"  # what compressed JSON begins with, and no other does
MAX = (1 << 63) - 1
TX_ID = re.compile(r"\d{1,19}:\d{1,19}", re.ASCII)

Place = tuple[int, int]
"""Where a row stands in the log of a machine: epoch and seq. (0, 0) is before all of them."""
START: Place = (0, 0)

LogRow = tuple[int, int, bytes]
"""A row: the two numbers of its place, and the rest packed."""

_Number = Annotated[int, msgspec.Meta(ge=0, le=MAX)]


class _Head(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What is known of the machine beside its rows. ``schema``: the body of a `RecordedSchema`."""

    first_at: _Number
    horizon: _Number
    machine_tick: _Number
    tags: tuple[str, ...]
    parent: str | None
    schema: bytes


class _Packed(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A row. Masks are numbers, or bytes (little-endian) beyond 63 bits. JSON is as it is, or as zlib makes it."""

    at: _Number
    mutation: _Number
    called: _Number | bytes
    changed: _Number | bytes
    time_diff: int
    ticks: msgspec.Raw
    tx_id: str | None
    source_machine: str | None
    source_tx: str | None
    arguments: bytes | None
    head: _Head | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode
_decode_ticks = msgspec.msgpack.Decoder(list[_Number]).decode


@dataclass(slots=True)
class LogPart:
    """Rows that may be stored behind what a store has of a machine, and what the machine is after them.

    Attributes:
        rows: in the order of the table's columns, without id and machine_id.
        periods: (at, schema) of each schema that is not that of the row before.
        first_at, horizon: of a machine that is new here.
        missing: how many rows lie between these, or before them, that nobody has any more, as far as numbers tell.
    """

    identity: Identity
    first_at: int
    horizon: int
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    periods: list[tuple[int, RecordedSchema]] = field(default_factory=list)
    schema_hash: str = ""
    last_at: int = 0
    epoch: int = 0
    seq: int = 0
    machine_tick: int = 0
    ticks: bytes = b""
    missing: int = 0


def updates_of(owner: str, number: int = 1) -> str:
    """Return as whose machines the updates of an owner's machines are kept beside the logs of these."""
    return f"updates of {owner}" + (f" ({number})" if number > 1 else "")


# -- out


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows for somebody else. ``last``: there are no more in the range. ``cut``: how many went without arguments."""

    rows: tuple[LogRow, ...]
    last: bool
    cut: int = 0


def pack(
    machine: MachineRow, rows: Sequence[Row], periods: Sequence[tuple[int, RecordedSchema]], limit: int, size: int
) -> Answer:
    """Return rows of one machine packed: at most `limit` of them, and of `size` bytes, but at least one.

    Arguments without which a row is small enough are left out of it.

    Raises:
        LogError: the first row is too large to be sent.
    """
    starts = [at for at, _ in periods]
    out: list[LogRow] = []
    cut = total = 0
    known = ""
    for row in rows[:limit]:
        schema = periods[max(bisect_right(starts, row.at) - 1, 0)][1]
        head = None if schema.hash == known else _head(machine, schema)
        body = _pack_row(row, head, row.arguments)
        if len(body) > MAX_ROW and row.arguments is not None:
            body = _pack_row(row, head, None)
            cut += 1
        if len(body) > MAX_ROW:
            if out:
                break  # it is the first of the next answer
            raise LogError(
                f"row {row.epoch}:{row.seq} of {machine.name} has {len(body)} bytes with its schema of "
                f"{len(schema.states)} states, and at most {MAX_ROW} can be sent: record fewer states"
            )
        total += len(body)
        if out and total > size:
            break
        out.append((row.epoch, row.seq, body))
        known = schema.hash
    return Answer(tuple(out), len(out) == len(rows), cut)


def _head(machine: MachineRow, schema: RecordedSchema) -> _Head:
    m = machine
    return _Head(m.first_at, m.horizon, m.machine_tick, m.tags, m.parent, _squeezed(schema.body))


def _pack_row(row: Row, head: _Head | None, arguments: str | None) -> bytes:
    called, changed, _ = unpack_masks(row)
    packed = _Packed(
        row.at,
        row.mutation,
        _as_mask(called),
        _as_mask(changed),
        row.time_diff,
        msgspec.Raw(row.ticks),
        row.tx_id,
        row.source_machine,
        row.source_tx,
        None if arguments is None else _squeezed(arguments),
        head,
    )
    return bytes((VERSION,)) + _encode(packed)


def _as_mask(mask: int) -> int | bytes:
    return mask if mask <= MAX else mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def _squeezed(text: str) -> bytes:
    plain = text.encode()
    return plain if len(plain) <= LONG else zlib.compress(plain)


# -- in


class _Wrong(Exception):
    """What is wrong with a row."""


def judge(
    identity: tuple[str, str],
    rows: Sequence[LogRow],
    standing: MachineRow | None,
    schema: RecordedSchema | None,
    until: int,
) -> LogPart | None:
    """Return what is to be stored of rows that came from somebody else; None if all of them are there already.

    Args:
        identity: owner and name of the machine.
        rows: as `pack` made them.
        standing: the machine as it is here; None: it is not.
        schema: that of `standing`.
        until: the last moment that a row may be of, ns; later ones come from a broken clock.

    Raises:
        LogError: something is wrong with a row. None of them is to be stored.
    """
    owner, name = identity
    page = _Page(identity, standing, schema, until)
    for epoch, seq, body in rows:
        try:
            page.take(epoch, seq, body)
        except (_Wrong, msgspec.MsgspecError, AsyncMachineError, ValueError, TypeError, zlib.error) as error:
            raise LogError(f"row {epoch}:{seq} of {name} of {owner} is not one: {error}") from error
        except (RecursionError, OverflowError, KeyError, AttributeError) as error:
            raise LogError(f"row {epoch}:{seq} of {name} of {owner} is not one: {error!r}") from error
    return page.part


class _Page:
    """Rows that are being judged, one after the other, in the light of those before them."""

    def __init__(
        self, identity: tuple[str, str], standing: MachineRow | None, schema: RecordedSchema | None, until: int
    ) -> None:
        self.part: LogPart | None = None
        self._identity = identity
        self._until = until
        self._standing = standing
        self._before: Place = START  # the last row of this page
        self._at = 0
        self._schema: RecordedSchema | None = None  # that heads of this page gave
        self._head: _Head | None = None
        # the row before, in the store or in this page
        self._stored: Place = START if standing is None else (standing.epoch, standing.seq)
        self._stored_at = 0 if standing is None else standing.last_at
        self._stored_schema = schema
        self._ticks = None if standing is None else decode_ticks(standing.ticks)

    def take(self, epoch: int, seq: int, body: bytes) -> None:
        """Judge the next row."""
        place = (epoch, seq)
        if not (1 <= epoch <= MAX and 1 <= seq <= MAX and place > self._before):
            raise _Wrong(f"it comes after {self._before[0]}:{self._before[1]}")
        if not body or body[0] != VERSION:
            raise _Wrong(f"it is of version {body[0] if body else 'none'}, and this program knows {VERSION}")
        row = _decode(memoryview(body)[1:])
        if not self._at < row.at <= self._until:
            raise _Wrong(f"its moment {row.at} is not after {self._at}, or is ahead of the clock here by far")
        self._before, self._at = place, row.at
        if row.head is not None:
            self._schema, self._head = _read_schema(row.head), row.head
        if self._schema is None or self._head is None:
            raise _Wrong("it is the first one, and has no schema")
        ticks = _decode_ticks(row.ticks)
        called, changed = _read_mask(row.called), _read_mask(row.changed)
        _check(row, self._schema, ticks, called | changed)
        if place > self._stored:
            self._add(place, row, ticks, called, changed)

    def _add(self, place: Place, row: _Packed, ticks: list[int], called: int, changed: int) -> None:
        schema, head = self._schema, self._head
        assert schema is not None
        assert head is not None
        if row.at <= self._stored_at:
            raise _Wrong(f"its moment {row.at} is not after {self._stored_at}, the last one that is here")
        total, active, kind = sum(ticks), active_mask(ticks), row.mutation & KIND
        same_schema = self._stored_schema is not None and self._stored_schema.hash == schema.hash
        follows = place == (self._stored[0], self._stored[1] + 1)
        if same_schema and self._ticks is not None:
            if kind not in (BASE, UPDATE) and place[0] == self._stored[0] and any(map(gt, self._ticks, ticks)):
                raise _Wrong("its ticks went back")
            if follows and kind != BASE and row.time_diff != total - sum(self._ticks):
                raise _Wrong(f"its time grew by something else than {row.time_diff}")
            if kind == BASE or not (follows or place[1] == 1):
                changed |= active ^ active_mask(self._ticks)  # while nobody looked, or in rows that are gone
        part = self.part
        if part is None:
            first_at = min(max(head.first_at, 1), row.at)
            horizon = min(max(head.horizon, first_at), row.at)
            part = self.part = LogPart(Identity(*self._identity, head.tags, head.parent), first_at, horizon)
            if self._standing is not None:  # it is known since when
                part.first_at, part.horizon = self._standing.first_at, self._standing.horizon
        if not same_schema:
            # of a machine that is new here, it was so before what is known, too
            part.periods.append((row.at if self._stored_schema is not None else part.first_at, schema))
        part.missing += place[1] - 1 - (self._stored[1] if place[0] == self._stored[0] else 0)
        packed = encode_ticks(ticks)
        told = (row.tx_id, row.source_machine, row.source_tx, None if row.arguments is None else _text(row.arguments))
        masks = pack_masks(called, changed, active)
        part.rows.append((row.at, *place, row.mutation, *masks, total, row.time_diff, packed, *told))
        part.identity = Identity(*self._identity, head.tags, head.parent)
        part.machine_tick, part.schema_hash = head.machine_tick, schema.hash
        part.last_at, (part.epoch, part.seq), part.ticks = row.at, place, packed
        self._stored, self._stored_at, self._stored_schema, self._ticks = place, row.at, schema, ticks


def _check(row: _Packed, schema: RecordedSchema, ticks: list[int], named: int) -> None:
    """Refuse what does not fit the schema, and what no question could read."""
    if len(ticks) != len(schema.states):
        raise _Wrong(f"it has {len(ticks)} ticks for {len(schema.states)} states")
    if sum(ticks) > MAX or abs(row.time_diff) > MAX:
        raise _Wrong("its time is too large")
    if named >> len(schema.states):
        raise _Wrong("it names states that its schema does not have")
    if row.mutation & KIND >= len(KINDS) or row.mutation >= 2 * ERROR:
        raise _Wrong(f"{row.mutation} is no kind of mutation")
    if row.mutation & KIND == BASE and row.time_diff:
        raise _Wrong("it is where a recording began, and its time grew")
    if row.tx_id is not None and not TX_ID.fullmatch(row.tx_id):
        raise _Wrong(f"{row.tx_id!r:.80} is no number of a transition")
    for text in (row.source_machine, row.source_tx):
        _check_text(text)
    if row.arguments is not None:
        arguments = _text(row.arguments)
        _check_text(arguments)
        if _depth(json.loads(arguments)) > MAX_DEPTH:
            raise _Wrong(f"its arguments are nested more than {MAX_DEPTH} deep")


def _depth(value: object) -> int:
    """Return how deep lists and objects are nested, up to a bit more than `MAX_DEPTH`."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [value for values in inner for value in values]
        depth += bool(inner)
    return depth


def _read_schema(head: _Head) -> RecordedSchema:
    for text in (*head.tags, head.parent):
        _check_text(text)
    return _schemas.read(head.schema)


class _Schemas:
    """Schemas that were read lately: with each page comes one, and it is most often the same."""

    def __init__(self, kept: int = 64) -> None:
        self._kept = kept
        self._known: dict[bytes, RecordedSchema] = {}

    def read(self, packed: bytes) -> RecordedSchema:
        """Return a schema that came from somebody else; raises all sorts of errors if it is none."""
        found = self._known.get(packed)
        if found is None:
            found = self._checked(_text(packed))
            if len(self._known) >= self._kept:
                del self._known[next(iter(self._known))]
            self._known[packed] = found
        return found

    def _checked(self, body: str) -> RecordedSchema:
        found = RecordedSchema.received(body)
        whole = found.schema()
        if not found.states or len(set(found.states)) != len(found.states):
            raise _Wrong("its schema has no states, or one of them twice")
        for name in found.states:
            _check_text(name)
            if name not in whole:
                raise _Wrong(f"its schema does not have the state {name!r:.80} that was recorded")
        _check_text(body)
        return found


_schemas = _Schemas()


def _read_mask(mask: int | bytes) -> int:
    return int.from_bytes(mask, "little") if isinstance(mask, bytes) else mask


def _text(packed: bytes) -> str:
    """Return JSON as text; what is compressed may not be too long."""
    if packed[:1] != ZLIB:
        return packed.decode()
    reader = zlib.decompressobj()
    text = reader.decompress(packed, MAX_TEXT)
    if reader.unconsumed_tail or not reader.eof or reader.unused_data:
        raise _Wrong(f"it has a text that is cut off, or longer than {MAX_TEXT} bytes")
    return text.decode()


def _check_text(text: str | None) -> None:
    if text is None:
        return
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise _Wrong("it has a text that cannot be stored")
