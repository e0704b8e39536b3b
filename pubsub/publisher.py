"""The publisher: from this peer's own machines to signed records.

Machines are exposed under an index that is never used again within an epoch. Each flush looks at the machines that have
changed, and signs one header with the next version; an idle peer signs nothing. A machine that was disposed of is taken
back. What cannot be published as it is, or would make a clock go back, is never signed: it stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import lt

from machine import Reader, Schema
from pubsub.errors import ExposeError, IdentityError
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity
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
    Description,
    Header,
    Record,
)
from pubsub.schemas import schema_hash
from pubsub.state import MachineState, OwnerState, root_of

DEFAULT_LEASE = 60  # s
_RESERVE = 256  # bytes of a record for its header and counts


@dataclass(slots=True)
class Exposure:
    """One exposed machine: where it is, and as what it is published."""

    index: int
    reader: Reader
    schema: bytes
    description: Description
    declared: Schema
    """The schema object that `schema` was computed of."""
    size: int
    """Bytes of its part in a full record, at most."""

    @property
    def states(self) -> tuple[str, ...]:
        """The states as they were published last."""
        return self.declared.names


def describe(reader: Reader) -> Description:
    """Return how a machine is called on the wire.

    Raises:
        ExposeError: its id or tags are too long, or no UTF-8. The message names the value and the limit.
    """
    parent = reader.parent.id if reader.parent is not None else ""
    for what, value, limit in (("id", reader.id, MAX_ID), ("parent", parent, MAX_ID)):
        _check_text(reader, what, value, limit)
    if len(reader.tags) > MAX_TAGS:
        raise ExposeError(f"{reader.id} has {len(reader.tags)} tags, at most {MAX_TAGS} can be published")
    for tag in reader.tags:
        _check_text(reader, "tag", tag, MAX_TAG)
    return Description(reader.id, tuple(reader.tags), parent)


def _size_of(description: Description, ticks: Sequence[int]) -> int:
    """Return at most how many bytes a part with everything has; the encoder takes the shorter form of the ticks."""
    count = len(ticks)
    return len(description.encode()) + count + count // 64 + sum(map(int.bit_length, ticks)) // 7 + 40


def _check_text(reader: Reader, what: str, value: str, limit: int) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ExposeError(f"the {what} {value[:40]!r} of {reader.id[:40]!r} is no UTF-8") from None
    if size > limit:
        shown = value[:40] + "…"
        raise ExposeError(
            f"the {what} {shown!r} of {reader.id[:40]!r} has {size} bytes, at most {limit} can be published"
        )


class Publisher:
    """Sign what this peer's machines are.

    Args:
        identity: who signs.
        domain: what for.
        clock: stamps the records.
        epoch: of this life; greater than that of every earlier one.
        lease: seconds for which the records are worth something without news.
        hash_of: returns the hash of a schema; the core's keeps the schema too, to serve it.

    Raises:
        IdentityError: the epoch is not a number of 32 bits.
        ExposeError: the lease is too long.
    """

    def __init__(
        self,
        identity: Identity,
        domain: Domain,
        clock: HybridClock,
        epoch: int,
        lease: int = DEFAULT_LEASE,
        hash_of: Callable[[Schema], bytes] = schema_hash,
    ) -> None:
        if not 0 <= lease <= MAX_LEASE:
            raise ExposeError(f"a lease is between 0 and {MAX_LEASE} s, not {lease}")
        self._identity = identity
        self._domain = domain
        self._clock = clock
        self._lease = lease
        self._hash_of = hash_of
        self.epoch = epoch
        self.version = 0
        self._next_index = 0
        self._size = _RESERVE
        self._exposures: dict[int, Exposure] = {}
        self._dirty: dict[int, None] = {}
        self._gone = False
        self._touched = False
        self.state: OwnerState | None = None
        """What was published last; None: nothing yet."""

    @property
    def epoch(self) -> int:
        """The epoch of what is published from now on."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if not 0 <= epoch <= MAX_EPOCH:
            raise IdentityError(f"there is no epoch {epoch}: if records of this key have used up all, make a new key")
        self._epoch = epoch

    @property
    def exposures(self) -> tuple[Exposure, ...]:
        """The exposed machines, by index."""
        return tuple(self._exposures.values())

    def expose(self, reader: Reader) -> Exposure:
        """Publish a machine from the next flush on.

        Raises:
            ExposeError: it is too large in some way, or another one of this id is exposed. Nothing has changed.
        """
        if not isinstance(reader, Reader):
            raise ExposeError(f"{reader!r:.80} is no machine")
        description = describe(reader)
        if reader.is_disposed:
            raise ExposeError(f"{reader.id} was disposed of")
        if any(e.reader.id == reader.id and e.reader.is_disposed for e in self._exposures.values()):
            self._bury(self.exposures)
        if any(e.reader is reader for e in self._exposures.values()):
            raise ExposeError(f"{reader.id} is exposed already")
        if any(e.reader.id == reader.id for e in self._exposures.values()):
            raise ExposeError(f"another machine called {reader.id!r} is exposed: ids are unique with their owner")
        if len(self._exposures) >= MAX_MACHINES:
            raise ExposeError(
                f"{MAX_MACHINES} machines are exposed, which is the limit: spread them over several peers"
            )
        if self._next_index > MAX_INDEX:
            raise ExposeError(f"{MAX_INDEX} machines were exposed in this life, which is the limit: restart the peer")
        schema, ticks = self._schema_of(reader), reader.time()
        self._check_ticks(reader, ticks)
        size = self._fitting(reader, _size_of(description, ticks), 0)
        exposure = Exposure(self._next_index, reader, schema, description, reader.schema, size)
        self._size += size
        self._next_index += 1
        self._exposures[exposure.index] = exposure
        self._dirty[exposure.index] = None
        return exposure

    def unexpose(self, reader: Reader) -> None:
        """Take a machine back: a tombstone goes out with the next flush."""
        for exposure in self._exposures.values():
            if exposure.reader is reader:
                self._take_back(exposure)
                return
        raise ExposeError(f"{reader.id} is not exposed")

    def _bury(self, exposures: Sequence[Exposure]) -> None:
        for exposure in exposures:
            if exposure.reader.is_disposed:
                self._take_back(exposure)

    def _take_back(self, exposure: Exposure) -> None:
        del self._exposures[exposure.index]
        self._dirty.pop(exposure.index, None)
        self._size -= exposure.size
        self._gone = True

    def _schema_of(self, reader: Reader) -> bytes:
        if len(reader.state_names) > MAX_STATES:
            raise ExposeError(
                f"{reader.id} has {len(reader.state_names)} states, at most {MAX_STATES} can be published"
            )
        try:
            return self._hash_of(reader.schema)
        except ExposeError as error:
            raise ExposeError(f"{reader.id} cannot be published: {error}") from None

    def _check_ticks(self, reader: Reader, ticks: Sequence[int]) -> None:
        if ticks and max(ticks) > MAX_TICK:
            raise ExposeError(f"a tick of {reader.id} is above {MAX_TICK}")

    def _fitting(self, reader: Reader, size: int, old_size: int) -> int:
        """Return the size of a part, if a full record, which somebody who has nothing needs, can hold it."""
        total = self._size - old_size + size
        if total > MAX_RECORD:
            raise ExposeError(
                f"with {reader.id} a full record of this peer would have about {total} bytes, "
                f"at most {MAX_RECORD} can be published: spread the machines over several peers"
            )
        return size

    def changed(self, exposure: Exposure) -> None:
        """Note that a machine has changed, or was disposed of, so that the next flush looks at it."""
        if exposure.index in self._exposures:
            self._dirty[exposure.index] = None

    def touch(self) -> None:
        """Have the next flush publish, if only to show that this peer lives."""
        self._touched = True

    @property
    def has_news(self) -> bool:
        """Whether a flush would publish something."""
        return bool(self._dirty) or self._gone or self._touched

    def flush(self, *, bye: bool = False) -> Record | None:
        """Return the next record: what changed since the last one; None if nothing did.

        Args:
            bye: sign a last record with which this peer leaves, also if nothing has changed.

        Raises:
            ExposeError: a machine has become one that cannot be published. Nothing was: flush again for the others. It
                stays published as it was, and is looked at again when it has changed again.
        """
        self._bury([self._exposures[index] for index in self._dirty])
        old = self.state
        machines = {} if old is None else dict(old.items())
        if self._gone:
            machines = {index: machine for index, machine in machines.items() if index in self._exposures}
        has_news, is_sorted = bye or self._touched or old is None or len(machines) < len(old), True
        for index in tuple(self._dirty):
            before = machines.get(index)
            try:
                machine = self._read(self._exposures[index], before)
            except ExposeError:
                del self._dirty[index]
                raise
            if machine != before:
                machines[index] = machine
                has_news, is_sorted = True, is_sorted and before is not None
        self._dirty.clear()
        self._gone = self._touched = False
        if not has_news:
            return None
        if not is_sorted:
            machines = {index: machines[index] for index in sorted(machines)}
        self.version += 1
        flags = BYE if bye else 0
        root = root_of(machines.values())
        header = Header(flags, self._identity.owner, self.epoch, self.version, self._clock.stamp(), self._lease, root)
        self.state = OwnerState(header.sign(self._identity, self._domain), machines)
        return self.state.record(full=old is None, since=old)

    def _read(self, exposure: Exposure, before: MachineState | None) -> MachineState:
        reader = exposure.reader
        ticks = tuple(reader.time())
        self._check_ticks(reader, ticks)
        if reader.schema is not exposure.declared and reader.state_names[: len(exposure.states)] != exposure.states:
            raise ExposeError(
                f"{reader.id} has other states than when it was exposed: it may only gain some behind "
                f"{exposure.states[-1]}; unexpose it, and expose it anew"
            )
        if before is not None and (len(ticks) < len(before.ticks) or any(map(lt, ticks, before.ticks))):
            raise ExposeError(f"the clock of {reader.id} went back: unexpose it, and expose it anew")
        schema, description = exposure.schema, exposure.description
        if reader.schema is not exposure.declared:
            schema = self._schema_of(reader)
        if reader.tags != description.tags:
            description = describe(reader)
        size = self._fitting(reader, _size_of(description, ticks), exposure.size)
        self._size += size - exposure.size
        exposure.schema, exposure.declared, exposure.description = schema, reader.schema, description
        exposure.size = size
        return MachineState.build(exposure.index, exposure.description, exposure.schema, ticks)

    def restart(self, epoch: int) -> None:
        """Begin another epoch, because somebody has published under this key: everything is published anew."""
        self.epoch = max(epoch, self.epoch + 1)
        self.version = 0
        self.state = None
        self._dirty = dict.fromkeys(self._exposures)
        self._touched = True
