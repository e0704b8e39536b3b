"""What a row holds, and how states and ticks are packed into it.

States are numbered by their place in the recorded order. Masks hold the states 0 to 62 in a signed 64-bit integer; a
machine with more states keeps the further bits of its three masks in `wide`. Ticks are a msgpack array.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from machine import Schema, State

NARROW = 63
LOW = (1 << NARROW) - 1
NAMED = 256  # sets of states whose names are kept

# the low bits of `mutation`
ADD, REMOVE, SET, BASE, UPDATE = range(5)
KIND = 7
AUTO, REJECTED, ERROR = 8, 16, 32
KINDS = ("add", "remove", "set", "base", "update")

encode_ticks = msgspec.msgpack.Encoder().encode
decode_ticks = msgspec.msgpack.Decoder(list[int]).decode
_decode_wide = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes]).decode


class Row(NamedTuple):
    """One stored transition, in the order of the table's columns."""

    id: int
    machine_id: int
    at: int
    epoch: int
    seq: int
    mutation: int
    called: int
    changed: int
    active: int
    wide: bytes | None
    time_sum: int
    time_diff: int
    ticks: bytes
    tx_id: str | None
    source_machine: str | None
    source_tx: str | None
    arguments: str | None


class Standing(NamedTuple):
    """Where a machine stood at a moment: the part of its row that tells."""

    machine_id: int
    at: int
    epoch: int
    seq: int
    ticks: bytes


COLUMNS = Row._fields
WRITTEN = COLUMNS[1:]


def pack_masks(called: int, changed: int, active: int) -> tuple[int, int, int, bytes | None]:
    """Return the three narrow masks and the wide bits, None if there are none."""
    wide = None
    if (called | changed | active) > LOW:
        wide = msgspec.msgpack.encode([_to_bytes(mask >> NARROW) for mask in (called, changed, active)])
    return called & LOW, changed & LOW, active & LOW, wide


def unpack_masks(row: Row) -> tuple[int, int, int]:
    """Return the masks of called, changed and active states, whole."""
    if row.wide is None:
        return row.called, row.changed, row.active
    called, changed, active = (int.from_bytes(b, "little") << NARROW for b in _decode_wide(row.wide))
    return row.called | called, row.changed | changed, row.active | active


def _to_bytes(mask: int) -> bytes:
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


@dataclass(frozen=True, slots=True)
class RecordedSchema:
    """The states that are recorded, in order, and the schema they come from. `hash` names the pair."""

    states: tuple[str, ...]
    body: str
    hash: str
    _named: dict[int, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, schema: Schema, states: Iterable[str] | None = None) -> RecordedSchema:
        """Return what is recorded of a schema: all its states, or some in the order of the schema."""
        wanted = set(schema.names if states is None else states)
        names = tuple(n for n in schema.names if n in wanted)
        relations = {n: _state_fields(s) for n, s in schema.items()}
        body = json.dumps({"states": names, "schema": relations}, separators=(",", ":"))
        return cls(names, body, blake2b(body.encode(), digest_size=16).hexdigest())

    @classmethod
    def read(cls, hash: str, body: str) -> RecordedSchema:
        """Return a stored one."""
        return cls(tuple(json.loads(body)["states"]), body, hash)

    @classmethod
    def received(cls, body: str) -> RecordedSchema:
        """Return one that came from somebody else, with the hash that it has. Raises ValueError if it is none."""
        found = json.loads(body)
        states = found.get("states") if isinstance(found, dict) else None
        if not isinstance(states, list) or not all(isinstance(name, str) for name in states):
            raise ValueError("no schema says that")
        return cls(tuple(states), body, blake2b(body.encode(), digest_size=16).hexdigest())

    def names(self, mask: int) -> tuple[str, ...]:
        """Return the states of a mask. What a machine does is much the same again and again, so these are kept."""
        found = self._named.get(mask)
        if found is None:
            found = tuple(name for i, name in enumerate(self.states) if mask >> i & 1)
            if len(self._named) < NAMED:
                self._named[mask] = found
        return found

    def schema(self) -> Schema:
        """Return the whole schema of then."""
        return Schema({n: State(**fields) for n, fields in json.loads(self.body)["schema"].items()})

    @property
    def is_whole(self) -> bool:
        """Whether all states of the machine are recorded, so that it can be restored."""
        return len(self.states) == len(json.loads(self.body)["schema"])


def _state_fields(state: State) -> Mapping[str, Any]:
    fields = {f: getattr(state, f) for f in ("auto", "multi", "require", "add", "remove", "after", "tags")}
    return {f: v for f, v in fields.items() if v}
