"""The boundary between history and a database. One conformance suite runs on every implementation.

All methods are synchronous. Those of the first part are called by the one writer thread; those of the second part from
any thread, at any time, and see whole batches only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from history.codec import RecordedSchema, Row, Standing
from history.graphs import Graphs
from history.stream import Known, Stream

if TYPE_CHECKING:
    from history.log import LogPart


@dataclass(frozen=True, slots=True)
class MachineRow:
    """What a store says about a machine. ``horizon`` is the first moment that is known, in ns.

    ``pulled``: its rows came from the log of its owner, see `Store.write_logs`. ``life``: of the store that this log is
    of; 0: not told, or this store.
    """

    id: int
    owner: str
    name: str
    schema_hash: str
    tags: tuple[str, ...]
    parent: str | None
    first_at: int
    last_at: int
    epoch: int
    seq: int
    machine_tick: int
    horizon: int
    ticks: bytes
    pulled: bool = False
    life: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where the journal of an owner is here: life and id of its last row, and that row's moment; 0: not known."""

    life: int
    id: int
    at: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """Which rows of one machine are meant, by masks over its recorded states; 0 means no condition.

    ``called`` and ``changed``: at least one of these. ``activated``, ``deactivated``: all of these did, in this row.
    ``kinds``: the mutation codes without flags; empty: all. ``caused_by``: the source machine.
    """

    called: int = 0
    changed: int = 0
    activated: int = 0
    deactivated: int = 0
    kinds: tuple[int, ...] = ()
    caused_by: str | None = None


EVERY = Condition()


class Store(ABC):
    """Rows of transitions, by machine and time.

    Attributes:
        url: where it is, without a password.
        generation: grows when this process's writer adds machines or schemas; -1: others may write, so nobody knows.
        graphs: what is kept of graphs.
    """

    url: str
    generation: int
    graphs: Graphs

    @abstractmethod
    def open(self) -> int:
        """Connect, create or migrate what is needed, and return the last stamp that was given out here (0: none).

        Raises:
            StorageError: it cannot be opened. VersionError: it is newer than this program.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of everything. Doing it twice is doing it once."""

    # -- the writer's side

    @abstractmethod
    def register(self, stream: Stream) -> Known:
        """Reserve the next epoch of a machine, and return what is known of it. It is listed from its first write on."""

    def register_all(self, streams: Sequence[Stream]) -> list[Known]:
        """Do as `register` for several machines; in a database in one transaction, and for none if it raises."""
        return [self.register(stream) for stream in streams]

    @abstractmethod
    def write(self, rows: Iterable[tuple[Any, ...]], streams: Sequence[Stream]) -> int:
        """Store rows, and then what their streams are, in one transaction; return the id of the last row.

        The rows may still be in the making, and the streams with them, while they are being stored.

        A row whose (machine, epoch, seq) is there already is left out. Nothing is stored if it raises.
        """

    @abstractmethod
    def write_logs(self, owner: str, parts: Sequence[LogPart], mark: Mark | None = None) -> bool:
        """Store rows that came from their owner behind those that came before, and what its machines are now.

        All of it is one transaction. Rows get ids by their `order`. A row whose (machine, epoch, seq) is there already
        is left out. Nothing is stored if it raises. What was recorded here of a machine of this owner and name is moved
        aside: it becomes one of `updates_of` the owner; and what came of another life becomes one of `earlier_log_of`
        it. Return whether that was done.

        Args:
            owner: of all these machines.
            parts: at most one of each machine.
            mark: up to where the journal of the owner is here, after these.
        """

    @abstractmethod
    def rewind(self, owner: str, name: str | None) -> None:
        """Note that an owner has not got the logs any more that are here: of one of its machines, or of all.

        They stay as they are, and their life is `GONE`: what comes of such a machine is of another one. For all
        machines, the journal is to be taken from its start, too.
        """

    @abstractmethod
    def prune(self, machine_id: int, before: int, limit: int) -> int:
        """Delete at most `limit` rows of a machine older than `before`, oldest first; return how many.

        The caller has made sure that a row at `before` exists: it is the base, and becomes the horizon.
        """

    # -- the readers' side

    @abstractmethod
    def exists(self) -> bool:
        """Tell whether there is a history at this place, before `open` would make one. Creates and changes nothing."""

    @abstractmethod
    def machines(self) -> list[MachineRow]:
        """Return all machines, by id."""

    @abstractmethod
    def recorded_schema(self, hash: str) -> RecordedSchema:
        """Return a stored schema."""

    @abstractmethod
    def machine(self, machine_id: int) -> MachineRow:
        """Return one machine."""

    @abstractmethod
    def find(self, owner: str, name: str) -> MachineRow | None:
        """Return one machine, if it has been written."""

    @abstractmethod
    def numbered(self, machine_id: int, after: tuple[int, int], until: tuple[int, int], limit: int) -> list[Row]:
        """Return at most `limit` rows of a machine with ``after < (epoch, seq) <= until``, by these."""

    @abstractmethod
    def found(self, owner: str, names: Collection[str]) -> dict[str, MachineRow]:
        """Return those of an owner's machines with these names that have been written, by name."""

    @abstractmethod
    def owned(self, owner: str, after_id: int, until_id: int, limit: int) -> list[Row]:
        """Return at most `limit` rows of an owner's machines with ``after_id < id <= until_id``, by id.

        It looks at all rows of this range, whoever's they are.
        """

    @abstractmethod
    def mark(self, owner: str) -> Mark | None:
        """Return up to where the journal of an owner is here."""

    @abstractmethod
    def life(self) -> int:
        """Return a number that tells this store from others, and is greater than that of stores that were made before.

        It is when the store was made, in us since 1970, by the clock of then.
        """

    @abstractmethod
    def periods(self) -> list[tuple[int, int, str]]:
        """Return (machine id, from when, schema hash), by machine and time."""

    @abstractmethod
    def periods_of(self, machine_id: int) -> tuple[int, list[tuple[int, str]]]:
        """Return when the last row of a machine was, and (from when, schema hash), in one consistent read."""

    @abstractmethod
    def period_count(self) -> int:
        """Return the number of all periods. They are only ever added, the first one with the machine itself."""

    @abstractmethod
    def newest(self, machine_id: int, at: int) -> Row | None:
        """Return the newest row of a machine at or before `at`."""

    @abstractmethod
    def oldest(self, machine_id: int, after: int) -> Row | None:
        """Return the oldest row of a machine after `after`."""

    @abstractmethod
    def snapshot(self, at: int, machine_ids: Sequence[int] | None) -> list[Standing]:
        """Return where each machine stood that has a row at or before `at`, in one consistent read, by id."""

    @abstractmethod
    def following(self, after: int, machine_ids: Sequence[int] | None) -> list[Standing]:
        """Return where each machine came to that has a row after `after`, in one consistent read, by id."""

    @abstractmethod
    def forgotten(self, at: int) -> list[MachineRow]:
        """Return the machines that were known at a moment which retention has let go."""

    @abstractmethod
    def scan(
        self, machine_id: int, low: int, high: int, condition: Condition, limit: int, newest_first: bool
    ) -> list[Row]:
        """Return at most `limit` rows of a machine with ``low < at <= high`` that meet a condition, by time."""

    @abstractmethod
    def flips(self, machine_id: int, index: int, low: int, high: int) -> Iterator[tuple[int, bool]]:
        """Yield (at, active after) of the rows with ``low < at <= high`` in which the state at `index` changed."""

    @abstractmethod
    def density(self, low: int, high: int, width: int, machine_ids: Sequence[int] | None) -> list[tuple[int, int, int]]:
        """Return (n, rows, rows with `ERROR`) of the parts of a window ``low < at <= high``, each `width` ns long.

        The n-th part, from 0, ends at ``low + (n + 1) * width``; parts without rows are left out.
        """

    @abstractmethod
    def feed(self, after_id: int, limit: int, machine_ids: Sequence[int] | None) -> list[Row]:
        """Return at most `limit` rows with a greater id, in the order in which they were stored."""

    @abstractmethod
    def last_id(self) -> int:
        """Return the greatest id; 0 if there is no row."""

    @abstractmethod
    def caused(self, source_machine: str, source_tx: str) -> list[Row]:
        """Return the rows that name this transition as their cause, by id."""

    @abstractmethod
    def nth_newest(self, machine_id: int, n: int) -> int | None:
        """Return when the n-th newest row of a machine (1: the newest) was; None if there are fewer."""

    @abstractmethod
    def counts(self) -> dict[int, int]:
        """Return the number of rows of each machine that has any."""

    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Return the number of rows and of bytes."""
