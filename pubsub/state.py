"""What is known of one owner: its machines' clocks, and how a record changes them.

States are immutable, so that the replicas of many peers in one process share them. A merge is the element-wise maximum
of absolute ticks, and is kept only if the result has the root that the owner signed: idempotent, commutative and safe
under loss, duplication and reordering; nobody but the owner can add, hide or mix anything.

    machine digest  blake2b-128 of: index, description digest, schema hash, ticks without trailing zeros
    root            blake2b-128 of the machine digests, by index
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pubsub.record import HASH_BYTES, MAX_MACHINES, MAX_TICKS, Description, Header, Part, Record
from pubsub.wire import varint, varints

KEPT = 4  # states of an owner of which `SharedMerge` has one for all, beside those that somebody holds
_Key = tuple[int, int, bytes, bytes]


@dataclass(frozen=True, slots=True)
class MachineState:
    """One machine as its owner published it. ``ticks`` is the vector by state, without trailing zeros."""

    index: int
    description: Description
    schema: bytes
    ticks: tuple[int, ...]
    digest: bytes

    @classmethod
    def build(cls, index: int, description: Description, schema: bytes, ticks: tuple[int, ...]) -> MachineState:
        """Return a machine with its digest; `ticks` may have trailing zeros."""
        end = len(ticks)
        while end and ticks[end - 1] == 0:
            end -= 1
        ticks = ticks[:end]
        packed = b"".join((varint(index), description.digest(), schema, varints(ticks)))
        return cls(index, description, schema, ticks, blake2b(packed, digest_size=HASH_BYTES).digest())

    def merged(self, part: Part) -> MachineState:
        """Return this machine after a part; itself if that says nothing new."""
        ticks = list(self.ticks)
        for state, tick in part.ticks:
            if state >= len(ticks):
                ticks += [0] * (state + 1 - len(ticks))
            if tick > ticks[state]:
                ticks[state] = tick
        description = part.description or self.description
        schema = part.schema or self.schema
        new = tuple(ticks)
        if new == self.ticks and description == self.description and schema == self.schema:
            return self
        return MachineState.build(self.index, description, schema, new)

    def part(self, *, since: tuple[int, ...] = (), base: int = 0, whole: bool = True) -> Part:
        """Return what somebody needs who has the ticks `since`: all of it, or (not `whole`) only ticks."""
        known = len(since)
        ticks = tuple((i, t) for i, t in enumerate(self.ticks) if t > (since[i] if i < known else 0))
        if not whole:
            return Part(self.index, ticks, base)
        return Part(self.index, ticks, base, self.description, self.schema)


class OwnerState(Mapping[int, MachineState]):
    """All machines of an owner at one (epoch, version): a frozen mapping from index to `MachineState`.

    ``header`` is the signed header that covers exactly this; ``owner`` and ``order`` are the header's.
    """

    __slots__ = ("_machines", "entry", "header", "mark", "order", "owner", "parcels", "successors")

    def __init__(self, header: Header, machines: Mapping[int, MachineState]) -> None:
        self.header = header
        self.owner = header.owner
        self.order = header.order
        self._machines = machines
        self.mark = int.from_bytes(header.rank[:4], "big")
        """32 bits for fingerprints: of no linear code, whose changes could cancel each other out by XOR."""
        self.entry: tuple[bytes, int, int, int] | None = None
        """What repair says of it, once somebody has asked: short form, epoch, version, mark."""
        self.successors: dict[int, tuple[Record, OwnerState | None]] | None = None
        """What records made of this state, by their `id`; only `SharedMerge` fills it."""
        self.parcels: dict[bytes | None, Any] = {}
        """The records that lead here, by the root of the state they lead from: what links have made so far."""

    def record(self, *, full: bool = True, since: OwnerState | None = None) -> Record:
        """Return a record that brings somebody here: from anywhere, or from the state `since`.

        From another epoch, or a state that is no older (the other side of an equivocation), only a full one does.
        """
        if full or since is None or since.header.epoch != self.header.epoch or since.order >= self.order:
            return Record(self.header, tuple(m.part() for m in self.values()), full=True)
        return Record(self.header, tuple(self._changes(since)), full=False)

    def _changes(self, since: OwnerState) -> Iterator[Part]:
        base, before = since.header.version, since._machines
        others = [index for index, machine in self._machines.items() if before.get(index) is not machine]
        for index in sorted([*others, *(before.keys() - self._machines.keys())]):
            now, then = self._machines.get(index), before.get(index)
            if now is None:
                yield Part(index, gone=True)
            elif then is None:
                yield now.part(base=base)
            elif now != then:
                same = (now.description, now.schema) == (then.description, then.schema)
                yield now.part(since=then.ticks, base=base, whole=not same)

    def __getitem__(self, index: int) -> MachineState:
        return self._machines[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._machines)

    def __len__(self) -> int:
        return len(self._machines)

    # What Mapping makes of the three above, faster.
    def keys(self) -> KeysView[int]:
        """Return the indexes."""
        return self._machines.keys()

    def values(self) -> ValuesView[MachineState]:
        """Return the machines, by index."""
        return self._machines.values()

    def items(self) -> ItemsView[int, MachineState]:
        """Return (index, machine) pairs."""
        return self._machines.items()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, OwnerState):
            return self.header == other.header and self._machines == other._machines
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.header.owner, self.order, self.header.root))

    def __repr__(self) -> str:
        return f"<OwnerState {self.owner[:4].hex()} {self.header.epoch}.{self.header.version}: {len(self)} machines>"


def root_of(machines: Iterable[MachineState]) -> bytes:
    """Return the root over machines, which come by index."""
    return blake2b(b"".join([m.digest for m in machines]), digest_size=HASH_BYTES).digest()


def merge(old: OwnerState | None, record: Record) -> OwnerState | None:
    """Return the state after a record; None if something is missing in between: the result has not the signed root.

    The header's signature is not looked at here. A delta of another epoch than `old` counts as one from nowhere.
    """
    header = record.header
    same_epoch = old is not None and old.header.epoch == header.epoch
    machines: dict[int, MachineState] = {}
    known: Mapping[int, MachineState] = old._machines if old is not None and same_epoch else {}
    if not record.full:
        machines.update(known)
    for part in record.parts:
        if part.gone:
            machines.pop(part.index, None)
            continue
        before = known.get(part.index)
        if before is not None:
            machines[part.index] = before.merged(part)
        elif part.description is not None and part.schema is not None:
            empty = MachineState.build(part.index, part.description, part.schema, ())
            machines[part.index] = empty.merged(part)
        else:
            return None  # a machine that was never introduced
    if len(machines) > MAX_MACHINES or sum([len(m.ticks) for m in machines.values()]) > MAX_TICKS:
        return None
    ordered = {index: machines[index] for index in sorted(machines)}
    if root_of(ordered.values()) != header.root:
        return None
    return OwnerState(header, ordered)


class SharedMerge:
    """`merge` for many peers of one process: what one of them has computed, the others take over.

    Records and states are immutable and handed on as they are in a simulation, so the same two objects give the same
    result. It is kept with the old state, and goes with it.

    Deltas that start from other states lead to the same one, too. Of each (header, hence content) there is one object
    for all peers, however they came to it: else they would hold, and compute, ever more copies of what is equal.
    """

    def __init__(self) -> None:
        # by owner, the newest last; a full record that led to the state, if one has
        self._recent: dict[bytes, dict[_Key, tuple[Record | None, OwnerState]]] = {}

    def __call__(self, old: OwnerState | None, record: Record) -> OwnerState | None:
        """Return the state after a record; see `merge`."""
        if old is not None and old.successors is not None:
            found = old.successors.get(id(record))
            if found is not None:
                return found[1]
        header = record.header
        recent = self._recent.setdefault(header.owner, {})
        key = header.epoch, header.version, header.root, header.signature
        if old is None or old.header.epoch != header.epoch:
            full, state = recent.get(key, (None, None))
            if full is not None and (full is record or full.parts == record.parts):
                return state
            state = merge(old, record)  # a liar may have put another body below the same header
            return state if state is None else _one_of(recent, key, record, state)
        state = merge(old, record)
        if state is not None:
            state = _one_of(recent, key, record if record.full else None, state)
        if old.successors is None:
            old.successors = {}
        old.successors[id(record)] = record, state  # the record is kept too, so that its id stays its own
        return state


def _one_of(
    recent: dict[_Key, tuple[Record | None, OwnerState]], key: _Key, full: Record | None, state: OwnerState
) -> OwnerState:
    """Return the object that all have for a state: the same root is the same content."""
    known = recent.get(key)
    if known is not None:
        state = known[1]
    if known is None or known[0] is None:
        recent[key] = full, state
    if len(recent) > KEPT:
        del recent[next(iter(recent))]
    return state
