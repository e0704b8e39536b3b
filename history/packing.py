"""Rows of a store as those of a log, for somebody else."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from history.codec import RecordedSchema, Row, unpack_masks
from history.errors import LogError
from history.log import MAX, MAX_ROW, VERSION, Head, LogRow, Packed
from history.store import MachineRow

LONG = 512  # bytes; longer JSON is compressed
Periods = Sequence[tuple[int, RecordedSchema]]
encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows for somebody else.

    Attributes:
        last: there are no more in the range.
        cut: how many went without their arguments, which were too large.
        unsent: of rows that are too large without arguments, too, what is wrong with each.
    """

    rows: tuple[LogRow, ...]
    last: bool
    cut: int = 0
    unsent: tuple[str, ...] = ()


def pack(machine: MachineRow, life: int, rows: Iterable[Row], periods: Periods, limit: int, size: int) -> Answer:
    """Return rows of one machine packed: at most `limit` of them, and of `size` bytes, but at least one.

    Arguments without which a row is small enough are left out of it.

    Raises:
        LogError: the first row is too large to be sent.
    """
    starts = [at for at, _ in periods]
    out: list[LogRow] = []
    cut = total = 0
    known = ""
    for row in rows:
        if len(out) == limit:
            return Answer(tuple(out), False, cut)
        schema = schema_at(starts, periods, row.at)
        head = None if schema.hash == known else make_head(machine, life, squeezed(schema.body))
        body = _body(pack_row(row, head, row.arguments))
        is_cut = len(body) > MAX_ROW and row.arguments is not None
        if is_cut:
            body = _body(pack_row(row, head, None))
        if len(body) > MAX_ROW and not out:
            raise LogError(too_large(machine, row, len(body), schema))
        total += len(body)
        if out and (total > size or len(body) > MAX_ROW):
            return Answer(tuple(out), False, cut)  # it is the first of the next answer
        cut += is_cut
        out.append((row.epoch, row.seq, body))
        known = schema.hash
    return Answer(tuple(out), True, cut)


def _body(row: Packed) -> bytes:
    return bytes((VERSION,)) + encode(row)


def schema_at(starts: Sequence[int], periods: Periods, at: int) -> RecordedSchema:
    """Return the schema under which a row of this moment was recorded; `starts` are the moments of the periods."""
    return periods[max(bisect_right(starts, at) - 1, 0)][1]


def make_head(machine: MachineRow, life: int, schema: bytes | int) -> Head:
    """Return what is to be told of a machine beside its rows."""
    m = machine
    return Head(m.first_at, m.horizon, m.machine_tick, m.tags, m.parent, life, schema)


def pack_row(row: Row, head: Head | None, arguments: str | None) -> Packed:
    """Return a row as it goes to somebody else."""
    called, changed, _ = unpack_masks(row)
    return Packed(
        row.at,
        row.mutation,
        _as_mask(called),
        _as_mask(changed),
        row.time_diff,
        msgspec.Raw(row.ticks),
        row.tx_id,
        row.source_machine,
        row.source_tx,
        None if arguments is None else squeezed(arguments),
        head,
    )


def too_large(machine: MachineRow, row: Row, size: int, schema: RecordedSchema) -> str:
    """Return what is wrong with a row that cannot be sent."""
    return (
        f"row {row.epoch}:{row.seq} of {machine.name} has {size} bytes with its schema of "
        f"{len(schema.states)} states, and at most {MAX_ROW} can be sent: record fewer states"
    )


def _as_mask(mask: int) -> int | bytes:
    return mask if mask <= MAX else mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def squeezed(text: str) -> bytes:
    """Return JSON as it is, or compressed if it is long."""
    plain = text.encode()
    return plain if len(plain) <= LONG else zlib.compress(plain)
