"""History: the trio shell around recorders, writer, store and questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import trio

from history.asking import Asking
from history.errors import HistoryError, QuestionError, StorageError
from history.hlc import HybridClock
from history.journals import Journals
from history.log import START, LogRow, Place
from history.logs import Logs
from history.moments import LAST
from history.recorder import Filter, Recorder
from history.retention import Retention
from history.statistics import Statistics
from history.store import Store
from history.stream import Mapper
from history.writer import Limits, Writer
from machine import Machine, Reader, Snapshot

T = TypeVar("T")


class History(Asking):
    """Record machines, and ask about their past. Made by `open_history`.

    All questions of `Questions` are async methods here; ``questions`` is the synchronous form, for other threads and
    for whom a hop to another thread costs too much. ``journals`` gives and takes the logs of all machines at once.
    """

    def __init__(
        self, store: Store, clock: HybridClock, limits: Limits, on_error: Callable[[HistoryError], None]
    ) -> None:
        super().__init__(store, clock)
        self.clock = clock
        self._on_error = on_error
        self._token = trio.lowlevel.current_trio_token()
        self._recorders: dict[Recorder, bool] = {}  # whether it is beside others of its machine
        self._retention = Retention(self)
        self._logs = Logs(self)
        self.journals = Journals(self, self._logs)
        self.writer = Writer(store, limits, self._commit_from_thread, self._error_from_thread)

    # -- recording

    def record(
        self,
        machine: Reader,
        *,
        owner: str = "",
        states: Iterable[str] | None = None,
        called: Filter = None,
        changed: Filter = None,
        rejected: bool = False,
        arguments: bool | Mapper = False,
        beside: bool = False,
    ) -> Recorder:
        """Record the transitions of a machine, or the updates of a replica, from now on.

        Its clock as it is now is recorded first. A filter is a name or several (an allow list), or `Except` with names
        (a block list).

        Args:
            machine: any reader.
            owner: who owns it, for machines of others.
            states: track only these, in the order of the schema; transitions that do not touch them are left out.
            called: only transitions that call at least one of these.
            changed: only transitions in which at least one of these changed.
            rejected: refused mutations too.
            arguments: what was passed along, as JSON: as it is, or what a function makes of it.
            beside: beside another recording of the same machine, for another owner.

        Raises:
            UnknownStateError: a filter names a state that the machine does not have.
        """
        self._alive()
        others = [
            (r.stream.identity.owner, is_beside) for r, is_beside in self._recorders.items() if r.machine is machine
        ]
        if any(other == owner or not (beside or is_beside) for other, is_beside in others):
            raise QuestionError(f"{machine.id} is being recorded already: stop that recorder first")
        self._logs.check_free(owner, machine.id)
        recorder = Recorder(
            machine,
            self.writer,
            self.clock,
            owner=owner,
            states=states,
            called=called,
            changed=changed,
            rejected=rejected,
            arguments=arguments,
            on_end=self._forget,
        )
        self._recorders[recorder] = beside
        return recorder

    def is_recorded(self, owner: str, name: str) -> bool:
        """Tell whether a machine of this owner and name is being recorded here."""
        return any(r.stream.identity.key == (owner, name) for r in self._recorders)

    def _forget(self, recorder: Recorder) -> None:
        self._recorders.pop(recorder, None)

    async def restore(self, machine: Machine, *, owner: str = "", **recording: Any) -> bool:
        """Bring a machine back with its last recorded clock and record it, in the next epoch; tell if it was known.

        Args:
            machine: just built, with the id and the states of then.
            owner: see `record`.
            **recording: further options of `record`.
        """
        self._alive()
        await self.sync()
        snapshot = await self._ask(self._snapshot, machine.id, owner)
        if snapshot is not None:
            machine.restore(snapshot)
        self.record(machine, owner=owner, **recording)
        return snapshot is not None

    def _snapshot(self, name: str, owner: str) -> Snapshot | None:
        found = self.store.find(owner, name)
        row = None if found is None else self.store.newest(found.id, LAST)
        if found is None or row is None:
            return None
        schema = self.store.recorded_schema(found.schema_hash)
        if not schema.is_whole:
            raise QuestionError(f"{name} was recorded with some of its states only: it cannot be restored from that")
        clock = self.questions.as_of((owner, name), row.at).clock
        return Snapshot(name, tuple(clock), tuple(clock.time), 1, found.machine_tick)

    async def sync(self) -> None:
        """Wait until all that was recorded before this call is committed, and will survive the end of the process.

        Raises:
            StorageError: some of it was given up.
        """
        counts = self.writer.counts
        target = counts.appended
        while not self.writer.finished:
            committed = self._committed
            self.writer.hurry()
            if counts.committed + counts.lost + counts.encode_errors >= target:
                break
            await committed.wait()
        await trio.lowlevel.checkpoint()
        if counts.lost:  # which happens at the end only
            raise StorageError(f"{counts.lost} transitions were given up: {self.writer.failing}")

    async def room(self) -> None:
        """Wait until the buffer has room. Who produces a lot calls it now and then, and never has to block."""
        writer = self.writer
        while writer.is_crowded() and not writer.finished:
            progress = self._committed
            writer.hurry()
            if not writer.is_crowded():
                break
            await progress.wait()
        await trio.lowlevel.checkpoint()

    def observe(self, stamp: int) -> bool:
        """Advance the clock past a stamp that arrived from elsewhere; see `HybridClock.observe`."""
        return self.clock.observe(stamp)

    def statistics(self) -> Statistics:
        """Return all counters."""
        counts = asdict(self.writer.counts)
        failing = self.writer.failing
        return Statistics(
            recorders=len(self._recorders),
            waiting=self.writer.waiting,
            pruned=self._retention.pruned,
            skewed_stamps=self.clock.ignored,
            failing=None if failing is None else str(failing),
            pulled=self._logs.pulled,
            pulled_missing=self._logs.missing,
            refused_pages=self._logs.refused,
            cut_rows=self._logs.cut,
            unsent_rows=self.journals.unsent,
            earlier_logs=self._logs.lives,
            **counts,
        )

    # -- retention

    async def prune(self, *, max_age: Any = None, max_rows: int | None = None) -> int:
        """Let go of what is older than `max_age` or beyond `max_rows`; return how many rows that were, of graphs too.

        Of a machine the last row before the horizon stays as the base, so that `as_of` is right from the horizon on.
        Of a graph, only what is gone is let go of.

        Args:
            max_age: a span such as ``"30d"``: since the transition; of a graph, since a vertex or an edge went.
            max_rows: rows of each machine; and of each graph, vertices and edges together that are gone. Those that are
                there stay, however many, and are not counted.
        """
        self._alive()
        return await self._retention.prune(max_age=max_age, max_rows=max_rows)

    # -- logs of others, and for others

    async def rows(
        self, machine: str, after: Place = START, until: Place | None = None, limit: int = 200, *, owner: str = ""
    ) -> tuple[Sequence[LogRow], bool]:
        """Return rows of a machine packed as (epoch, seq, bytes), and whether they are the last ones of the range.

        What decodes them needs nothing but them; see `store_rows`. What was recorded and is not committed yet is not
        there yet. There may be fewer than `limit`, so that an answer is not much larger than a page of a peer.

        Args:
            machine: its name.
            after: the place (epoch, seq) of the last row that is there already.
            until: the place of the last row that is wanted; None: all there are.
            limit: how many rows, at most.
            owner: of the machine.

        Raises:
            UnknownMachineError: it was never recorded here. LogError: a row is too large to be sent.
        """
        if limit < 1:
            raise QuestionError(f"{limit} rows are none: ask for at least 1")
        answer = await self._ask(self._logs.read, owner, machine, after, until, limit)
        return answer.rows, answer.last

    async def store_rows(self, owner: str, machine: str, rows: Sequence[LogRow]) -> int:
        """Store rows of somebody else's machine that `rows` gave there; return how many were not here yet.

        They go behind those that are here, so they have to come in order; what is here already is left out. They are
        durable when this returns, and the clock is past their stamps. All questions are answered as they are there.
        Should the machine have been recorded here under this owner before, those rows are kept as of the owner
        ``updates of …``.

        Args:
            owner: whose machine it is.
            machine: its name.
            rows: a page.

        Raises:
            LifeError: they are of another database than those that are here; see `rewind`. Nothing was stored.
            LogError: they are not such rows, or do not fit behind those that are here. Nothing of them was stored.
            QuestionError: the machine is being recorded here, under this owner.
        """
        self._alive()
        return await self._logs.take(owner, machine, rows)

    async def place(self, machine: str, owner: str) -> Place:
        """Return the place of the last row that `store_rows` stored of a machine, to go on from; (0, 0): of none."""
        return await self._ask(self._logs.place, owner, machine)

    async def rewind(self, owner: str, machine: str | None = None) -> None:
        """Note that an owner has another database now, so that its logs begin anew: of a machine, or of all.

        What is here stays. When a machine's first rows come, what is here of it becomes that of the owner ``earlier log
        of …``. `place` is (0, 0) until then, and a journal is to be taken from its start.
        """
        self._alive()
        await self._logs.rewind(owner, machine)

    async def run_job(self, job: Callable[[], T]) -> T:
        """Run a function in the writer's thread, between two batches."""
        future = self.writer.run_job(job)
        done = trio.Event()
        future.add_done_callback(lambda _: self._call_soon(done.set))
        await done.wait()
        return future.result()

    # -- between threads

    def _call_soon(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            return  # nobody is left to be told

    def _commit_from_thread(self) -> None:
        self._call_soon(self.announce)

    def _error_from_thread(self, error: StorageError) -> None:
        self._call_soon(self._on_error, error)

    async def close(self) -> None:
        """Stop recording, write what waits, let go of the database. Doing it twice is doing it once."""
        if self._closed:
            return
        self._closed = True
        for recorder in list(self._recorders):
            recorder.stop()
        self.writer.stop()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self.writer.join)
            self._answered = trio.Event()
            if self._asking:
                with trio.move_on_after(self.writer.limits.closing):
                    await self._answered.wait()
            self._gone = True
            await trio.to_thread.run_sync(self.store.close)
