"""One recorded machine: how its transitions become rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from history.codec import AUTO, BASE, ERROR, REJECTED, UPDATE, RecordedSchema, decode_ticks, encode_ticks, pack_masks
from history.errors import QuestionError
from machine import EXCEPTION, Plan, Reader, Source, Transition, Update

logger = logging.getLogger("asyncmachine.history")
Mapper = Callable[[Mapping[str, Any]], Any]
NO_CAUSE = (None, None)
KEPT = 256  # plans of which a recorder of some states keeps what they come to


@dataclass(frozen=True, slots=True)
class Identity:
    """What a machine is known by in a store, and what is known of it besides its clock."""

    owner: str
    name: str
    tags: tuple[str, ...] = ()
    parent: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes a machine this one."""
        return self.owner, self.name


@dataclass(slots=True)
class Known:
    """What a store knows of a machine when its recording begins or ends. ``ticks`` are those of its last row."""

    machine_id: int
    epoch: int
    seq: int
    last_at: int
    machine_tick: int
    ticks: bytes
    schema_hash: str


class Base(NamedTuple):
    """In place of a transition: the clock as it is, when recording begins or the schema changes.

    ``picked``: the places of the recorded states among all of the machine's, which ``total`` counts.
    """

    ticks: tuple[int, ...]
    schema: RecordedSchema
    machine_tick: int
    picked: tuple[int, ...]
    total: int


Item = tuple["Stream", int, Transition | Plan | Base, tuple[int, ...], int, Source | None, str | None]
"""What waits to be written: stream, at, what, ticks after, number in the machine's life, cause, arguments.

An accepted transition is its `Plan`: what else there is to it is in the other fields, and the transition itself need
not be kept. Millions of these are made, and each object in them costs the garbage collector.
"""


class Stream:
    """The rows of one machine, from one `record` to its end. Belongs to the writer, once it is registered.

    Attributes:
        identity, schema: see there.
        known: what the store knows; None until it has been asked.
        periods: (at, hash) of schemas that came up since the last write.
    """

    def __init__(self, identity: Identity, reader: Reader, states: tuple[str, ...] | None) -> None:
        self.identity = identity
        self.states = states
        self.schema = RecordedSchema.of(reader.schema, states)
        self.known: Known | None = None
        self.periods: list[tuple[int, RecordedSchema]] = []
        self.last_sum = 0
        self._picked: tuple[int, ...] = ()
        self._packed: dict[Plan, tuple[int, int, int, int, bytes | None]] = {}  # under what is picked
        self._whole = False

    def begin(self, known: Known) -> None:
        """Take over what the store knows, and the epoch that it has reserved."""
        self.known = known

    def encode(self, item: Item) -> tuple[Any, ...]:
        """Return the row of a transition, or of the clock as it is, without its id."""
        _, at, what, after, seq, source, arguments = item
        known = self.known
        assert known is not None
        known.seq += 1
        known.last_at = at
        # the machine itself may be in its next life by now
        tx_id: str | None = f"{known.machine_tick}:{seq}"
        if isinstance(what, Plan):
            packed = what.memo if self._whole else self._packed.get(what)
            if packed is None:
                packed = self._pack_plan(what)
        elif isinstance(what, Base):
            return self._encode_base(known, at, what)
        elif isinstance(what, Update):
            tx_id = None  # it is no transition, and has no such id
            packed = (UPDATE, *pack_masks(*self._masks(what)))
        else:
            packed = (_code(what.plan, what.accepted), *pack_masks(*self._masks(what)))
        if not self._whole:
            after = tuple([after[i] for i in self._picked])
        total = sum(after)
        diff, self.last_sum = total - self.last_sum, total
        known.ticks = ticks = encode_ticks(after)
        cause = NO_CAUSE if source is None else (source.machine_id, _number(source.transition_id))
        return (known.machine_id, at, known.epoch, known.seq, *packed, total, diff, ticks, tx_id, *cause, arguments)

    def _pack_plan(self, plan: Plan) -> tuple[int, int, int, int, bytes | None]:
        """Return mutation and masks of an accepted plan; what all recorders of whole machines share is kept with it."""
        code = _code(plan, True)
        if self._whole:
            plan.memo = (code, *pack_masks(plan.called_mask, plan.changed, plan.after.mask))
            return plan.memo  # type: ignore[no-any-return]
        masks = (plan.called_mask, plan.changed, plan.after.mask)
        packed = (code, *pack_masks(*[self._pick(mask) for mask in masks]))
        if len(self._packed) < KEPT:
            self._packed[plan] = packed
        return packed

    def _pick(self, mask: int) -> int:
        return sum((mask >> i & 1) << bit for bit, i in enumerate(self._picked))

    def _encode_base(self, known: Known, at: int, base: Base) -> tuple[Any, ...]:
        # only now: what was appended before it was of the schema before
        self._packed.clear()
        self._picked, self._whole = base.picked, base.picked == tuple(range(base.total))
        active, changed = active_mask(base.ticks), 0
        if base.schema.hash != known.schema_hash:
            self.periods.append((at, base.schema))
            known.schema_hash = base.schema.hash
        elif known.ticks:
            changed = active ^ active_mask(decode_ticks(known.ticks))  # while nobody looked
        known.machine_tick = base.machine_tick
        known.ticks = ticks = encode_ticks(base.ticks)
        self.last_sum = total = sum(base.ticks)
        narrow = pack_masks(0, changed, active)
        return (known.machine_id, at, known.epoch, known.seq, BASE, *narrow, total, 0, ticks, None, None, None, None)

    def _masks(self, tx: Transition) -> tuple[int, int, int]:
        before, after = tx.ticks_before, tx.ticks_after
        calls = () if isinstance(tx, Update) else tx.plan.called
        called = changed = active = 0
        for bit, i in enumerate(self._picked):
            called |= (i in calls) << bit
            changed |= (before[i] != after[i]) << bit
            active |= (after[i] & 1) << bit
        return called, changed, active

    def base(self, reader: Reader) -> Base:
        """Return the clock of a machine as it is, under its present schema."""
        self.schema = RecordedSchema.of(reader.schema, self.states)
        time, names = reader.time(), reader.state_names
        picked = tuple(names.index(n) for n in self.schema.states)
        ticks = tuple(time[i] for i in picked)
        return Base(ticks, self.schema, getattr(reader, "machine_tick", 0), picked, len(names))


def _code(plan: Plan, accepted: bool) -> int:
    """Return a transition's kind and flags as the column `mutation`."""
    flags = (AUTO if plan.auto else 0) | (0 if accepted else REJECTED) | (ERROR if EXCEPTION in plan.states else 0)
    return int(plan.kind) | flags


def _number(transition_id: str) -> str:
    """Return the part of a transition's id behind the id of its machine."""
    tick, _, seq = transition_id.rpartition(":")
    return f"{tick.rpartition(':')[2]}:{seq}"


def encode_arguments(args: Mapping[str, Any], mapper: Mapper | None) -> str | None:
    """Return args as JSON text, None if there are none; what has no JSON form becomes its repr."""
    try:
        mapped = dict(args) if mapper is None else mapper(args)
    except Exception:
        logger.exception("mapper %r failed: this transition is recorded without its arguments", mapper)
        return None
    if not mapped:
        return None
    try:
        return msgspec.json.encode(mapped, enc_hook=_repr).decode()
    except (TypeError, ValueError, RecursionError):
        return json.dumps(_repr(mapped))


def _repr(thing: object) -> str:
    try:
        return repr(thing)
    except Exception:
        logger.exception("an argument's repr failed: its type is recorded instead")
        return f"<{type(thing).__qualname__}>"


def check_texts(**texts: str) -> None:
    """Refuse now what no database would take later."""
    for what, text in texts.items():
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise QuestionError(f"the {what} {text!r} cannot be stored: use a text without null and half characters")


def active_mask(ticks: Iterable[int]) -> int:
    """Return the mask of the states that are active."""
    return sum(1 << i for i, tick in enumerate(ticks) if tick & 1)


def bits(names: Iterable[str], states: Sequence[str]) -> int:
    """Return the mask of the states among `names` that are recorded; others have no bit."""
    return sum(1 << states.index(n) for n in set(names) if n in states)
