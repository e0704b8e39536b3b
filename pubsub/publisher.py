"""The publisher: from this peer's own machines to signed records.

Machines are exposed under an index that is never used again within an epoch. Each flush looks at the machines that have
changed, and signs one header with the next version; an idle peer signs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from machine import Reader, Schema
from pubsub.errors import ExposeError
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity
from pubsub.record import (
    BYE,
    MAX_ID,
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
from pubsub.state import MachineState, OwnerState, root_of

DEFAULT_LEASE = 60  # s


@dataclass(slots=True)
class Exposure:
    """One exposed machine: where it is, and as what it is published."""

    index: int
    reader: Reader
    schema: bytes
    description: Description
    declared: Schema
    """The schema object that `schema` was computed of."""

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
    """

    def __init__(
        self, identity: Identity, domain: Domain, clock: HybridClock, epoch: int, lease: int = DEFAULT_LEASE
    ) -> None:
        self._identity = identity
        self._domain = domain
        self._clock = clock
        self._lease = lease
        self.epoch = epoch
        self.version = 0
        self._next_index = 0
        self._exposures: dict[int, Exposure] = {}
        self._dirty: dict[int, None] = {}
        self._gone = False
        self.state: OwnerState | None = None
        """What was published last; None: nothing yet."""

    @property
    def exposures(self) -> tuple[Exposure, ...]:
        """The exposed machines, by index."""
        return tuple(self._exposures.values())

    def expose(self, reader: Reader) -> Exposure:
        """Publish a machine from the next flush on.

        Raises:
            ExposeError: it is too large in some way, or another one of this id is exposed. Nothing has changed.
        """
        if any(e.reader is reader for e in self._exposures.values()):
            raise ExposeError(f"{reader.id} is exposed already")
        if any(e.reader.id == reader.id for e in self._exposures.values()):
            raise ExposeError(f"another machine called {reader.id!r} is exposed: ids are unique with their owner")
        if self._next_index >= MAX_MACHINES:
            raise ExposeError(
                f"{MAX_MACHINES} machines were exposed in this life, which is the limit: restart the peer"
            )
        schema = self._schema_of(reader)
        exposure = Exposure(self._next_index, reader, schema, describe(reader), reader.schema)
        self._check_size(exposure)
        self._next_index += 1
        self._exposures[exposure.index] = exposure
        self._dirty[exposure.index] = None
        return exposure

    def unexpose(self, reader: Reader) -> None:
        """Take a machine back: a tombstone goes out with the next flush."""
        for index, exposure in self._exposures.items():
            if exposure.reader is reader:
                del self._exposures[index]
                self._dirty.pop(index, None)
                self._gone = True
                return
        raise ExposeError(f"{reader.id} is not exposed")

    def _schema_of(self, reader: Reader) -> bytes:
        if len(reader.state_names) > MAX_STATES:
            raise ExposeError(
                f"{reader.id} has {len(reader.state_names)} states, at most {MAX_STATES} can be published"
            )
        return bytes.fromhex(reader.schema.digest)

    def _check_size(self, new: Exposure) -> None:
        """Make sure that a full record, which somebody who has nothing needs, is small enough."""
        size = 256
        for exposure in (*self._exposures.values(), new):
            ticks = sum((tick.bit_length() + 6) // 7 + 1 for tick in exposure.reader.time()) + 4
            size += len(exposure.description.encode()) + ticks + 40
        if size > MAX_RECORD:
            raise ExposeError(
                f"with {new.reader.id} a full record of this peer would have about {size} bytes, "
                f"at most {MAX_RECORD} can be published: spread the machines over several peers"
            )

    def changed(self, exposure: Exposure) -> None:
        """Note that a machine has changed, so that the next flush looks at it."""
        self._dirty[exposure.index] = None

    @property
    def has_news(self) -> bool:
        """Whether a flush would publish something."""
        return bool(self._dirty) or self._gone

    def flush(self, *, bye: bool = False) -> Record | None:
        """Return the next record: what changed since the last one; None if nothing did.

        Args:
            bye: sign a last record with which this peer leaves, also if nothing has changed.
        """
        old = self.state
        machines = {} if old is None else {i: m for i, m in old.items() if i in self._exposures}
        for index in self._dirty:
            machines[index] = self._read(self._exposures[index])
        self._dirty.clear()
        self._gone = False
        machines = {index: machines[index] for index in sorted(machines)}
        if old is not None and dict(old) == machines and not bye:
            return None
        self.version += 1
        flags = BYE if bye else 0
        root = root_of(machines.values())
        header = Header(flags, self._identity.owner, self.epoch, self.version, self._clock.stamp(), self._lease, root)
        self.state = OwnerState(header.sign(self._identity, self._domain), machines)
        return self.state.record(full=old is None, since=old)

    def _read(self, exposure: Exposure) -> MachineState:
        reader = exposure.reader
        ticks = tuple(reader.time())
        if any(tick > MAX_TICK for tick in ticks):
            raise ExposeError(f"a tick of {reader.id} is above {MAX_TICK}")
        if reader.schema is not exposure.declared and reader.state_names[: len(exposure.states)] != exposure.states:
            raise ExposeError(
                f"{reader.id} has other states than when it was exposed: it may only gain some behind "
                f"{exposure.states[-1]}; unexpose it, and expose it anew"
            )
        if reader.schema is not exposure.declared:
            exposure.schema, exposure.declared = self._schema_of(reader), reader.schema
        if reader.tags != exposure.description.tags:
            exposure.description = describe(reader)
        return MachineState.build(exposure.index, exposure.description, exposure.schema, ticks)

    def restart(self, epoch: int) -> None:
        """Begin another epoch, because somebody has published under this key: everything is published anew."""
        self.epoch = max(epoch, self.epoch + 1)
        self.version = 0
        self.state = None
        self._dirty = dict.fromkeys(self._exposures)
