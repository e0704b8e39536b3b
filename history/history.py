"""History: the trio shell around recorders, writer, store and questions."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, ParamSpec, TypeVar

import trio

from history.answers import Diff, Interval, MachineInfo, Moment, Network, Record
from history.directory import Name
from history.errors import HistoryError, QuestionError, StorageError
from history.hlc import MAX_SKEW, HybridClock
from history.journals import Journals
from history.log import START, LogRow, Place
from history.logs import Logs
from history.memory import MemoryStore
from history.questions import LAST, Page, Questions
from history.recorder import Filter, Recorder
from history.retention import Retention, check_limits
from history.store import Store
from history.stream import Mapper
from history.times import When
from history.writer import Limits, Writer
from machine import Machine, Reader, Snapshot
from machine.beside import beside

logger = logging.getLogger("asyncmachine.history")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a history has done. Numbers of transitions, but for ``blocked`` (seconds that producers were held up).

    ``appended`` = ``committed`` + ``lost`` + ``encode_errors`` + ``waiting``; ``dropped`` were never taken, because the
    buffer was full. Of logs of others: ``pulled`` rows were stored, ``pulled_missing`` ones between them nobody has any
    more, and ``refused_pages`` were wrong; ``earlier_logs`` are kept of owners that have another database now. Of ours,
    ``cut_rows`` were given without arguments, which were too large, and ``unsent_rows`` are too large without them.
    """

    recorders: int
    appended: int
    committed: int
    waiting: int
    batches: int
    dropped: int
    lost: int
    write_errors: int
    encode_errors: int
    blocked: float
    pruned: int
    skewed_stamps: int
    failing: str | None
    pulled: int
    pulled_missing: int
    refused_pages: int
    cut_rows: int
    unsent_rows: int
    earlier_logs: int


class History:
    """Record machines, and ask about their past. Made by `open_history`.

    All questions of `Questions` are async methods here; ``questions`` is the synchronous form, for other threads and
    for whom a hop to another thread costs too much. ``journals`` gives and takes the logs of all machines at once.
    """

    def __init__(
        self, store: Store, clock: HybridClock, limits: Limits, on_error: Callable[[HistoryError], None]
    ) -> None:
        self.store = store
        self.clock = clock
        self.questions = Questions(store, clock.latest)
        self._on_error = on_error
        self._token = trio.lowlevel.current_trio_token()
        self._committed = trio.Event()
        self._recorders: dict[Recorder, bool] = {}  # whether it is beside others of its machine
        self._closed = self._gone = False  # takes nothing more; answers nothing more
        self._asking = 0  # questions and followers under way
        self._answered = trio.Event()
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
        """Let go of what is older than `max_age` or beyond `max_rows` per machine; return how many rows that were.

        The last row before the horizon stays as the base, so that `as_of` is right from the horizon on.
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

    # -- questions

    async def machines(self) -> list[MachineInfo]:
        """See `Questions.machines`."""
        return await self._ask(self.questions.machines)

    async def as_of(self, machine: Name, at: When | None = None) -> Moment:
        """See `Questions.as_of`."""
        return await self._ask(self.questions.as_of, machine, at)

    async def network(self, at: When | None = None, machines: Name | Iterable[Name] | None = None) -> Network:
        """See `Questions.network`."""
        return await self._ask(self.questions.network, at, machines)

    async def diff(
        self, t1: When, t2: When | None = None, machines: Name | Iterable[Name] | None = None
    ) -> dict[str, Diff]:
        """See `Questions.diff`."""
        return await self._ask(self.questions.diff, t1, t2, machines)

    async def page(self, limit: int = 50, **question: Any) -> Page:
        """See `Questions.page`."""
        return await self._ask(self.questions.page, limit, **question)

    async def between(
        self, t1: When | None = None, t2: When | None = None, machines: Name | Iterable[Name] | None = None, **more: Any
    ) -> AsyncGenerator[Record, None]:
        """Yield what `Questions.between` yields, a few hundred at a time."""
        iterator = await self._ask(self.questions.between, t1, t2, machines, **more)
        while chunk := await self._ask(_take, iterator, 500):
            for record in chunk:
                yield record

    async def intervals(
        self, machine: Name, state: str, t1: When | None = None, t2: When | None = None
    ) -> list[Interval]:
        """Return what `Questions.intervals` yields, as a list."""
        return await self._ask(lambda: list(self.questions.intervals(machine, state, t1, t2)))

    async def activated_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """See `Questions.activated_between`."""
        return await self._ask(self.questions.activated_between, machine, state, t1, t2)

    async def deactivated_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """See `Questions.deactivated_between`."""
        return await self._ask(self.questions.deactivated_between, machine, state, t1, t2)

    async def active_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """See `Questions.active_between`."""
        return await self._ask(self.questions.active_between, machine, state, t1, t2)

    async def inactive_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """See `Questions.inactive_between`."""
        return await self._ask(self.questions.inactive_between, machine, state, t1, t2)

    async def uptime(
        self, state: str, t1: When, t2: When | None = None, machines: Name | Iterable[Name] | None = None
    ) -> float:
        """See `Questions.uptime`."""
        return await self._ask(self.questions.uptime, state, t1, t2, machines)

    async def cause(self, record: Record) -> Record | None:
        """See `Questions.cause`."""
        return await self._ask(self.questions.cause, record)

    async def effects(self, record: Record) -> list[Record]:
        """See `Questions.effects`."""
        return await self._ask(self.questions.effects, record)

    async def changes(
        self, since: When | Record | None = None, machines: Name | Iterable[Name] | None = None
    ) -> AsyncGenerator[Record, None]:
        """Yield past records, then live ones as they are committed: each once, in the order in which they came in.

        Args:
            since: a moment; or the last record that was seen, to go on behind it; None: from now on.
            machines: one, several, or all.

        Ends when the history is closed; closing waits a while (``closing``, see `Limits`) for who lags behind. Who may
        stop before the end puts it into ``async with contextlib.aclosing(…)``.
        """
        self._begin()
        try:
            low = None
            if isinstance(since, Record):
                after = since.id
            else:
                low = None if since is None else await self._ask(self.questions._at, since)
                after = await self._ask(self._position, low)
            while not self._gone:
                committed, finished = self._committed, self.writer.finished
                records = await self._ask(self.questions.feed, after, 1000, machines)
                for record in records:
                    after = record.id
                    if low is None or record.at > low:
                        yield record
                if not records:
                    if finished:
                        return
                    await committed.wait()
        finally:
            self._end()

    def _position(self, since: When | None) -> int:
        return self.store.last_id() if since is None else self.questions.position(since)

    async def _ask(self, question: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._gone:
            self._alive()
        self._begin()
        try:
            return await trio.to_thread.run_sync(lambda: question(*args, **kwargs))
        finally:
            self._end()

    def _begin(self) -> None:
        self._asking += 1

    def _end(self) -> None:
        self._asking -= 1
        if not self._asking:
            self._answered.set()

    # -- between threads

    def _call_soon(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            return  # nobody is left to be told

    def _commit_from_thread(self) -> None:
        self._call_soon(self.announce)

    def announce(self) -> None:
        """Wake who waits for rows: there are new ones."""
        committed, self._committed = self._committed, trio.Event()
        committed.set()

    def _error_from_thread(self, error: StorageError) -> None:
        self._call_soon(self._on_error, error)

    def _alive(self) -> None:
        if self._closed:
            raise HistoryError("this history is closed: open it again with open_history")

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


@asynccontextmanager
async def open_history(
    url: str = "",
    *,
    now: Callable[[], int] = time.time_ns,
    max_skew: int = MAX_SKEW,
    max_age: Any = None,
    max_rows: int | None = None,
    prune_every: float = 60.0,
    on_error: Callable[[HistoryError], None] | None = None,
    **limits: Any,
) -> AsyncIterator[History]:
    """Open a history, and close it at the end: what was recorded by then is written.

    Args:
        url: ``sqlite:///file.db``, ``sqlite://`` (in memory), ``postgresql+psycopg://…``, ``memory:`` (no SQL); by
            default a file in the user's data directory.
        now: the wall clock, ns since 1970 in UTC.
        max_skew: ns that a stamp from elsewhere may be ahead of it.
        max_age, max_rows: retention, in the background: a span such as ``"30d"``, and rows per machine.
        prune_every: seconds between two looks at it.
        on_error: called in the trio thread with each trouble of the database; logged in any case.
        **limits: see `Limits`.

    Raises:
        StorageError: it cannot be opened. VersionError: it is newer than this program.
    """
    store = open_store(url)
    try:
        chosen = Limits(**limits)
    except TypeError as exc:
        raise QuestionError(f"{exc}: open_history takes the options of Limits: {', '.join(Limits.__slots__)}") from None
    if min(chosen.buffer, chosen.batch) < 1 or chosen.overflow not in ("block", "drop"):
        raise QuestionError("buffer and batch must be at least 1, and overflow 'block' or 'drop'")
    check_limits(max_age, max_rows)
    clock = HybridClock(now, max_skew)
    try:
        clock.resume(await trio.to_thread.run_sync(store.open))
    except BaseException:
        store.close()
        raise
    history = History(store, clock, chosen, (lambda error: None) if on_error is None else on_error)
    history.writer.start()
    try:
        async with beside() as nursery:
            if max_age is not None or max_rows is not None:
                nursery.start_soon(history._retention.run, max_age, max_rows, prune_every)
            yield history
    finally:
        await history.close()


def open_store(url: str = "", *, read_only: bool = False) -> Store:
    """Return the store of a URL, not opened yet; see `open_history`. ``read_only``: nothing of it is ever changed."""
    if url == "memory:":
        return MemoryStore()
    from history.sql import SqlStore  # 0.2 s, and only who asks for a database pays

    return SqlStore(url or default_url(), read_only=read_only)


def default_url() -> str:
    """Return the URL of the file in the user's data directory."""
    from history.places import data_directory

    return f"sqlite:///{data_directory() / 'history.db'}"


def _take(iterator: Any, count: int) -> list[Record]:
    from itertools import islice

    return list(islice(iterator, count))
