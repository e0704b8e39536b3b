"""Replicas: what the core knows of the machines of others, as readers.

A replica reads, waits and is traced, recorded and piped from as the machine itself; it differs where it must. It moves
on by records, each of which may stand for many transitions. Its owner's restart begins a new epoch, in which ticks may
be lower: the clock that never goes back is (epoch, ticks). It is there for whoever asked for it, and costs nothing
before that. An owner that signs two states of one version may make the ledger go back to lower ticks: a replica does
not follow there, but waits until its owner says something that is not behind what its readers have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import lt

from machine import Clock, DisposedError, Reader, Schema
from machine.compiled import compile_schema
from machine.pipes import forget_pipes
from machine.update import advance
from machine.waiting import DISPOSED, QUERY, Wait, wait_for
from pubsub.hlc import wall_ms_of
from pubsub.ledger import Ledger
from pubsub.state import MachineState, OwnerState


@dataclass(frozen=True, slots=True)
class Staleness:
    """How much a replica is worth.

    Attributes:
        since: us since a record of its owner was last accepted. Until the first one that the replica sees, that is
            taken from the owner's stamp, and as good as the two wall clocks.
        is_left: its owner has said goodbye; it stays as it was.
        is_gone: the machine is no longer published, or its owner was forgotten; it stays as it was, for good.
        is_ahead: what its owner says now is behind what it shows; it stays as it was, until that is no longer so.
    """

    since: int
    is_left: bool
    is_gone: bool
    is_ahead: bool = False


class Replica(Reader):
    """A foreign machine, as far as it is known here. `parent` is always None; see `parent_id`.

    Attributes:
        owner: the public key of who owns it.
        machine_index: its number with its owner.
        epoch, version: of the record of its owner that it is at.
        is_left, is_gone, is_ahead: see `Staleness`.
        held: how many records it did not follow, as its clock would have gone back.
    """

    __slots__ = (
        "_heard",
        "_parent_id",
        "_stamp",
        "_wall",
        "epoch",
        "held",
        "is_ahead",
        "is_gone",
        "is_left",
        "machine_index",
        "owner",
        "version",
    )

    def __init__(self, state: OwnerState, machine: MachineState, schema: Schema, wall: Callable[[], int]) -> None:
        description = machine.description
        super().__init__(compile_schema(schema), description.id, None, description.tags)
        self.owner = state.owner
        self.machine_index = machine.index
        self.epoch, self.version = state.order
        self.is_left = state.header.is_bye
        self.is_gone = self.is_ahead = False
        self.held = 0
        self._parent_id = description.parent or None
        self._heard: int | None = None  # us
        self._stamp = wall_ms_of(state.header.hlc)
        self._wall = wall
        self._time = self._fitted(machine.ticks)

    @property
    def parent_id(self) -> str | None:
        """The id of the machine of the same owner that this one belongs to."""
        return self._parent_id

    def staleness(self, now: int) -> Staleness:
        """Return how old what it says may be; `now` is the time that the core is called with."""
        since = now - self._heard if self._heard is not None else 1000 * (self._wall() - self._stamp)
        return Staleness(max(since, 0), self.is_left, self.is_gone, self.is_ahead)

    # -- waiting: as anybody's, but nobody waits for what is gone

    async def when_query(self, query: Callable[[Clock], bool]) -> Clock:
        """Wait until `query` says True of the clock after a later record. It is not asked about the present."""
        self._check_gone()
        return await wait_for(self, Wait(QUERY, query=query))

    async def _wait(self, kind: int, need: list[tuple[int, int]]) -> Clock:
        if kind == DISPOSED and self.is_gone:
            return self.clock()
        self._check_gone()
        return await super()._wait(kind, need)

    def _check_gone(self) -> None:
        if self.is_gone:
            raise DisposedError(f"{self.id} is no longer published: nothing will change there any more")

    # -- for the replicas of a core

    def _heard_of(self, state: OwnerState, now: int) -> None:
        self._heard = now
        self.is_left = state.header.is_bye

    def _follow(self, state: OwnerState, machine: MachineState, schema: Schema) -> None:
        """Take over what a record says, unless a tick of this epoch would go back."""
        same_epoch = self.epoch == state.header.epoch
        self.is_ahead = same_epoch and _is_behind(machine.ticks, self._time)
        if self.is_ahead:
            self.held += 1
            return
        old = self.schema
        self.tags = machine.description.tags
        self._parent_id = machine.description.parent or None
        self.machine_index = machine.index
        self.epoch, self.version = state.order
        if schema is not old and schema != old:  # states were added behind the others
            self._schema = compile_schema(schema)
            self._index = self._schema.index
            self._time = self._fitted(self._time)
            self._hooks.tell(self._hooks.schema_change, self, old)
        ticks = self._fitted(machine.ticks)
        if ticks != self._time or not same_epoch:
            advance(self, ticks, self.epoch, self.version)

    def _fitted(self, ticks: tuple[int, ...]) -> tuple[int, ...]:
        """Return a tick for each state: published ticks are without the zeros at the end."""
        names = self._schema.names
        return (*ticks[: len(names)], *((0,) * (len(names) - len(ticks))))

    def _end(self) -> None:
        """Note that no record will speak of it any more."""
        self.is_gone = True
        forget_pipes(self)
        hooks = self._hooks
        hooks.tell(hooks.machine_dispose, self)
        if self._waits is not None:
            self._waits.dispose(self, self.clock())


def _is_behind(published: tuple[int, ...], ticks: Sequence[int]) -> bool:
    """Tell whether a published vector, which is without the zeros at its end, has a lower tick anywhere."""
    return any(map(lt, published, ticks)) or any(ticks[len(published) :])


class Replicas:
    """The replicas of one core, made for who asks. Those that are gone are let go of.

    Args:
        ledger: what is known of all owners.
        find: returns a schema by its hash, if it is known.
        wall: the wall clock, ms since 1970.
        own: this peer's public key: there are no replicas of its own machines.

    Attributes:
        followed: the replicas that were made, by owner and id.
        heard_of: states that `settle` has yet to look at; with the time, if the record is new.
    """

    def __init__(
        self, ledger: Ledger, find: Callable[[bytes], Schema | None], wall: Callable[[], int], own: bytes
    ) -> None:
        self._ledger = ledger
        self._find = find
        self._wall = wall
        self._own = own
        self.followed: dict[bytes, dict[str, Replica]] = {}
        self.heard_of: list[tuple[OwnerState, int | None]] = []

    def get(self, owner: bytes, machine_id: str) -> Replica | None:
        """Return the replica of a machine; None if no such machine is known, or its schema is not, yet."""
        state = self._ledger.get(owner)
        if state is None or owner == self._own:
            return None
        found = self.followed.get(owner, {}).get(machine_id)
        if found is not None:
            return found
        machine = _named(state).get(machine_id)
        return None if machine is None else self._make(state, machine)

    def _make(self, state: OwnerState, machine: MachineState) -> Replica | None:
        schema = self._find(machine.schema)
        if schema is None:
            return None
        replica = Replica(state, machine, schema, self._wall)
        self.followed.setdefault(state.owner, {})[replica.id] = replica
        return replica

    def __iter__(self) -> Iterator[Replica]:
        """Return a replica of each machine whose schema is known."""
        for owner, state in self._ledger.items():
            if owner == self._own:
                continue
            for name, machine in _named(state).items():
                replica = self.followed.get(owner, {}).get(name) or self._make(state, machine)
                if replica is not None:
                    yield replica

    def heard(self, state: OwnerState, now: int) -> None:
        """Note an accepted record. What it means to replicas comes with `settle`: once the core is at rest."""
        if state.owner in self.followed:
            self.heard_of.append((state, now))

    def learned(self, hash: bytes) -> None:
        """Note a schema that somebody's machine may have been waiting for."""
        for owner in self.followed:
            state = self._ledger.get(owner)
            if state is not None and any(machine.schema == hash for machine in state.values()):
                self.heard_of.append((state, None))

    def settle(self) -> None:
        """Bring the replicas to what was noted, one record after the other."""
        while self.heard_of:
            state, then = self.heard_of.pop(0)
            named = _named(state)
            for replica in list(self.followed.get(state.owner, {}).values()):
                if then is not None:
                    replica._heard_of(state, then)
                self._follow(replica, state, named.get(replica.id))

    def _follow(self, replica: Replica, state: OwnerState, machine: MachineState | None) -> None:
        same_epoch = replica.epoch == state.header.epoch
        if machine is None or (same_epoch and machine.index != replica.machine_index):
            self._drop(replica)  # and another one of its name is another one
            return
        schema = self._find(machine.schema)
        if schema is None:
            return  # it stays what it is until it can be read
        if schema.names[: len(replica.state_names)] != replica.state_names:
            self._drop(replica)  # who waits for a state of it knows it by its place
            return
        replica._follow(state, machine, schema)

    def _drop(self, replica: Replica) -> None:
        known = self.followed[replica.owner]
        del known[replica.id]
        if not known:
            del self.followed[replica.owner]
        replica._end()

    def forget(self, owner: bytes) -> None:
        """Note that an owner was forgotten: its replicas are gone."""
        for replica in list(self.followed.get(owner, {}).values()):
            self._drop(replica)


def _named(state: OwnerState) -> dict[str, MachineState]:
    """Return the machines by id; of several with one id, the first counts."""
    return {machine.description.id: machine for machine in reversed(list(state.values()))}
