"""The log of a machine as bytes: what its rows look like on the way from one store into that of somebody else.

A row is the version of this format (u8) and a msgpack array; see `Packed`. What decodes it needs nothing but the rows
of the same answer: the first one, and each one under another schema than the one before, has a `Head` with the schema.
What follows from the rest is not sent: the active states are those with an odd tick, the time is the sum of the ticks.

`history.packing` makes them, and `history.judging` says which of those that come from somebody else may be stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from history.codec import RecordedSchema
from history.stream import Identity

VERSION = 2
MAX_ROW = 60 * 1024  # bytes of a packed row: what a peer may send as one
MAX_ANSWER = 64 * 1024  # bytes of an answer, beyond its first row
MAX = (1 << 63) - 1
GONE = 1  # the life of logs that their owner does not have any more; no store was made so early
TX_ID = re.compile(r"\d{1,19}:\d{1,19}", re.ASCII)

Place = tuple[int, int]
"""Where a row stands in the log of a machine: epoch and seq. (0, 0) is before all of them."""
START: Place = (0, 0)

LogRow = tuple[int, int, bytes]
"""A row: the two numbers of its place, and the rest packed."""

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX)]


class Head(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What is known of the machine beside its rows.

    ``schema``: the body of a `RecordedSchema`, as it is or compressed; or which one of those that came in rows before,
    counted from 0. ``life``: of the store that it was recorded in, see `Store.life`; 0: not told.
    """

    first_at: Number
    horizon: Number
    machine_tick: Number
    tags: tuple[str, ...]
    parent: str | None
    life: Number
    schema: bytes | Number


class Packed(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A row. Masks are numbers, or bytes (little-endian) beyond 63 bits. JSON is as it is, or as zlib makes it."""

    at: Number
    mutation: Number
    called: Number | bytes
    changed: Number | bytes
    time_diff: int
    ticks: msgspec.Raw
    tx_id: str | None
    source_machine: str | None
    source_tx: str | None
    arguments: bytes | None
    head: Head | None


@dataclass(slots=True, eq=False)
class LogPart:
    """Rows that may be stored behind what a store has of a machine, and what the machine is after them.

    Attributes:
        rows: in the order of the table's columns, without id and machine_id.
        order: which of the page each of them is, where a page has rows of several machines.
        periods: (at, schema) of each schema that is not that of the row before.
        first_at, horizon: of a machine that is new here.
        missing: how many rows lie between these, or before them, that nobody has any more, as far as numbers tell.
        life: of the store that they were recorded in; 0: it was not told.
        anew: what is here of such a machine is of another life, and is to be kept beside these.
    """

    identity: Identity
    first_at: int
    horizon: int
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    periods: list[tuple[int, RecordedSchema]] = field(default_factory=list)
    schema_hash: str = ""
    last_at: int = 0
    epoch: int = 0
    seq: int = 0
    machine_tick: int = 0
    ticks: bytes = b""
    missing: int = 0
    life: int = 0
    anew: bool = False


def updates_of(owner: str, number: int = 1) -> str:
    """Return as whose machines the updates of an owner's machines are kept beside the logs of these."""
    return f"updates of {owner}" + (f" ({number})" if number > 1 else "")


def is_copy(owner: str) -> bool:
    """Tell whether what an owner has is kept beside the logs of another one: updates, or an earlier log."""
    return owner.startswith(("updates of ", "earlier log of "))


def earlier_log_of(owner: str, number: int = 1) -> str:
    """Return as whose machines the logs are kept that an owner does not have any more, as its database is another."""
    return f"earlier log of {owner}" + (f" ({number})" if number > 1 else "")
