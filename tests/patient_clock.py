"""A virtual clock that waits for threads, for tests in which a history works beside peers.

Trio's clock for tests jumps to the next deadline when all tasks wait. A task that waits for a thread waits as well:
then a database that takes a moment on a busy computer takes hours of virtual time, all deadlines pass meanwhile, and
whether a test is green depends on the computer. So this one jumps only when no thread works for a task either:

    trio.to_thread    one that was started, and whose task does not have its result yet
    history           a writer that has something to do, and has not told of it yet

Nobody waits for a writer whose database fails, as it goes on trying in real time. A test that holds a thread up says so
by `held`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import trio.lowlevel
import trio.testing
from trio.testing import MockClock

from history.writer import Writer

LOOK = 0.0005  # s of real time between two looks at threads
BOUND = 300.0  # s of real time that threads may take: a bound, not a measure


def writers() -> Iterator[Writer]:
    """Yield the writers of all histories that are open in this process."""
    for thread in threading.enumerate():
        writer = getattr(getattr(thread, "_target", None), "__self__", None)
        if isinstance(writer, Writer):
            yield writer


def is_anybody_at_work(held: Callable[[], bool]) -> bool:
    """Tell whether a thread works for a task of this run; writers of histories are asked to hurry."""
    at_work = trio.testing.active_thread_count() > 0
    for writer in writers():
        if writer.is_idle or writer.failing is not None or held():
            continue
        if writer.waiting:
            writer.hurry()  # it would wait for more to write, in real time
        at_work = True
    # looked at last: who has done its work has put this there before
    return at_work or trio.lowlevel.current_statistics().run_sync_soon_queue_size > 0


def patient_clock(jump_after: float = 0.0, *, held: Callable[[], bool] = lambda: False) -> MockClock:
    """Return the clock.

    Args:
        jump_after: its `autojump_threshold`.
        held: tells that the test itself holds the writer of its history up, so that nobody is to wait for that.
    """
    clock = MockClock(autojump_threshold=jump_after)
    jump = clock._autojump
    since: float | None = None

    def autojump() -> None:
        nonlocal since
        if not is_anybody_at_work(held):
            since = None
            jump()
            return
        since = time.monotonic() if since is None else since
        if time.monotonic() - since > BOUND:
            raise AssertionError(f"threads have been at work for {BOUND:g} s: {threading.enumerate()}")
        time.sleep(LOOK)

    clock._autojump = autojump  # type: ignore[method-assign]  # the class is final
    return clock
