"""The writer: a bounded buffer, and the one thread that turns what is in it into committed rows.

Producers append small tuples and go on. The thread takes them in batches, by size or after a short while, encodes and
commits them. What cannot be written now is kept and tried again, with growing pauses, for as long as the buffer can
hold what comes in meanwhile. Whatever is given up is counted and told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeVar

from history.codec import WRITTEN
from history.errors import StorageError
from history.store import Store
from history.stream import Item, Stream

logger = logging.getLogger("asyncmachine.history")
WIDTH = 7  # fields of an item
FEW = 64  # more than threads that append at the same instant
Overflow = Literal["block", "drop"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the writer holds and how long it waits.

    Attributes:
        buffer: transitions that may wait to be written.
        batch: rows of one commit, at most.
        interval: seconds that a transition waits at most before its commit begins.
        overflow: what a synchronous producer gets when the buffer is full: ``block`` until there is room, or ``drop``
            and count.
        patience: seconds that ``block`` waits at most, and only while writing works; then it drops and counts.
        retry, max_retry: seconds before the first repetition of a failed write, doubled each time up to the second.
        closing: seconds that closing waits for a failing database before it gives up.
    """

    buffer: int = 50_000
    batch: int = 20_000
    interval: float = 0.05
    overflow: Overflow = "block"
    patience: float = 5.0
    retry: float = 0.05
    max_retry: float = 5.0
    closing: float = 5.0


@dataclass(slots=True)
class Counts:
    """What the writer counts. ``appended`` = ``committed`` + ``duplicates`` + ``dropped`` + ``lost`` + what waits."""

    appended: int = 0
    committed: int = 0
    batches: int = 0
    dropped: int = 0
    lost: int = 0
    write_errors: int = 0
    encode_errors: int = 0
    blocked: float = 0.0


class Writer:
    """Own the buffer, the thread, and the store's writing side.

    Args:
        store: opened by the caller; written to by this thread only.
        limits: see `Limits`.
        on_commit: called in the thread after each commit, and when the writer ends.
        on_error: called in the thread with each new trouble.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        on_commit: Callable[[], None],
        on_error: Callable[[StorageError], None],
    ) -> None:
        self.limits = limits
        self.counts = Counts()
        self.failing: StorageError | None = None
        self.finished = False
        self._store = store
        self._on_commit = on_commit
        self._on_error = on_error
        self._buffer: deque[Any] = deque()  # items end to end: a tuple that waits costs the garbage collector
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._wake = threading.Event()  # there is something to do
        self._hurry = threading.Event()  # … and now, not in a while
        self._room = threading.Condition()
        self._waiting_for_room = 0
        self._is_resting = False
        self._stop = False
        self._give_up_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="asyncmachine-history", daemon=True)

    # -- the producers' side

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def is_crowded(self) -> bool:
        """Whether more than half of the buffer is in use."""
        return len(self._buffer) // WIDTH > self.limits.buffer // 2

    @property
    def waiting(self) -> int:
        """How many transitions have been appended and are not yet settled."""
        c = self.counts
        return c.appended - c.committed - c.lost - c.encode_errors

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done, and whoever waited for what was done has been told."""
        return not self._wake.is_set() and self._is_resting  # in this order: it is cleared after the other one

    def append(self, item: Item, *, always: bool = False) -> bool:
        """Take a transition; tell whether it was taken, or dropped and counted because the buffer is full.

        A base is taken `always`: without it, what follows cannot be read.
        """
        buffer = self._buffer
        if len(buffer) // WIDTH >= self.limits.buffer and not always and not self._make_room():
            self.counts.dropped += 1
            return False
        buffer.extend(item)  # no other thread comes in between
        self.counts.appended += 1
        waiting = len(buffer) // WIDTH
        # of the first few each looks for itself: several threads at once could each rely on another
        if waiting < FEW and not self._wake.is_set():
            self._wake.set()
        if waiting == self.limits.batch:
            self._hurry.set()
        return True

    def _make_room(self) -> bool:
        limits = self.limits
        if self._stop or limits.overflow == "drop" or self.failing is not None:
            return False
        began = time.monotonic()
        self.hurry()
        with self._room:
            self._waiting_for_room += 1
            self._room.wait_for(
                lambda: len(self._buffer) // WIDTH < limits.buffer or self.failing is not None or self.finished,
                limits.patience,
            )
            self._waiting_for_room -= 1
        self.counts.blocked += time.monotonic() - began
        return len(self._buffer) // WIDTH < limits.buffer

    def hurry(self) -> None:
        """Have what waits committed now."""
        self._hurry.set()
        self._wake.set()

    def run_job(self, job: Callable[[], T]) -> Future[T]:
        """Run a function in the thread, between two batches."""
        future: Future[T] = Future()
        self._jobs.append((job, future))
        self.hurry()
        if self.finished and future.cancel():
            raise StorageError(f"{self._store.url} is closed: nothing more can be done there")
        return future

    def stop(self) -> None:
        """Take nothing more, write what waits, and end; a failing database gets `Limits.closing` seconds."""
        self._give_up_at = time.monotonic() + self.limits.closing
        self._stop = True
        self.hurry()

    def join(self) -> None:
        """Wait for the thread to end."""
        self._thread.join()

    # -- the thread

    def _run(self) -> None:
        while True:
            self._is_resting = True
            self._wake.wait()
            self._is_resting = False
            if not self._stop and len(self._buffer) // WIDTH < self.limits.batch:
                self._hurry.wait(self.limits.interval)
            self._hurry.clear()
            self._wake.clear()
            while self._buffer or self._jobs:
                self._run_jobs()
                self._write_batch()
            if self._stop and not self._buffer:
                break
            if self._buffer:
                self._wake.set()
        self._run_jobs()
        self.finished = True
        self._tell_room()
        self._on_commit()

    def _run_jobs(self) -> None:
        for _ in range(len(self._jobs)):  # those that come in meanwhile are for after the next batch
            job, future = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except Exception as exc:  # noqa: BLE001 - handed to whoever asked for the job
                future.set_exception(exc)

    def _write_batch(self) -> None:
        buffer = self._buffer
        flat = [buffer.popleft() for _ in range(WIDTH * min(len(buffer) // WIDTH, self.limits.batch))]
        if not flat:
            return
        streams = self._first_lives(flat)
        new = [stream for stream in streams if stream.known is None]
        if new and not self._persist(lambda: self._register(new)):
            return
        self._tell_room()
        self._on_commit()  # there is room, before there is a commit
        made: list[Any] = []
        rows = self._encode(_grouped(flat, WIDTH), made)
        if self._persist(lambda: self._store.write(chain(_grouped(list(made), len(WRITTEN)), rows), streams)):
            for stream in streams:
                stream.periods.clear()
            self.counts.committed += len(made) // len(WRITTEN)
            self.counts.batches += 1
        self._tell_room()
        self._on_commit()

    def _first_lives(self, flat: list[Any]) -> list[Stream]:
        """Return the streams of these items; give back all from the second life of a machine on, if there is one."""
        streams: list[Stream] = list(dict.fromkeys(flat[::WIDTH]))
        if all(stream.known is not None for stream in streams):
            return streams
        seen = set()
        for stream in streams:
            if stream.known is None and stream.identity.key in seen:
                place = WIDTH * next(i for i, other in enumerate(flat[::WIDTH]) if other is stream)
                self._buffer.extendleft(reversed(flat[place:]))
                del flat[place:]
                return list(dict.fromkeys(flat[::WIDTH]))
            seen.add(stream.identity.key)
        return streams

    def _encode(self, items: Iterable[Item], made: list[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield rows while they are being written; `made` keeps them, end to end, should they be written again."""
        for item in items:
            try:
                row = item[0].encode(item)
            except Exception as exc:
                self.counts.encode_errors += 1
                logger.exception("a transition of %s could not be packed", item[0].identity.name)
                self._on_error(StorageError(f"a transition of {item[0].identity.name} could not be packed: {exc!r}"))
            else:
                made.extend(row)
                yield row

    def _register(self, streams: list[Stream]) -> None:
        for stream, known in zip(streams, self._store.register_all(streams), strict=True):
            stream.begin(known)

    def _persist(self, write: Callable[[], object]) -> bool:
        """Repeat a write until it works, or until the writer has to give up; tell which."""
        pause = self.limits.retry
        while True:
            try:
                write()
            except Exception as exc:
                error = exc
                if not isinstance(error, StorageError):  # a bug; the next batch, or a repetition, may go well
                    error = StorageError(f"cannot write to {self._store.url}: {exc!r}")
                    logger.exception("%s", error)
                self.counts.write_errors += 1
                if self.failing is None or str(self.failing) != str(error):
                    self.failing = error
                    logger.error("%s; %d transitions wait", error, self.waiting)
                    self._on_error(error)
                self._tell_room()
                if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                    self._lose()
                    return False
                self._pause(pause)
                pause = min(2 * pause, self.limits.max_retry)
            else:
                if self.failing is not None:
                    logger.warning("writing to %s works again", self._store.url)
                self.failing = None
                return True

    def _pause(self, seconds: float) -> None:
        self._hurry.clear()
        if not self._stop:
            self._hurry.wait(seconds)
        else:
            time.sleep(min(seconds, 0.05))

    def _lose(self) -> None:
        self._buffer.clear()
        self.counts.lost += self.waiting
        error = StorageError(f"{self.counts.lost} transitions could not be written to {self._store.url} before closing")
        logger.error("%s", error)
        self._on_error(error)

    def _tell_room(self) -> None:
        if self._waiting_for_room:
            with self._room:
                self._room.notify_all()


def _grouped(flat: list[Any], width: int) -> Iterator[Any]:
    """Return the tuples of which this list was made."""
    return zip(*[iter(flat)] * width, strict=True)
