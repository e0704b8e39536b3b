"""Opening a history: from a URL and options to one that records, and back to a closed database."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from history.errors import HistoryError, QuestionError
from history.history import History
from history.hlc import MAX_SKEW, HybridClock
from history.memory import MemoryStore
from history.retention import check_limits
from history.store import Store
from history.writer import Limits
from machine.beside import beside


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
        max_age, max_rows: retention, in the background: a span such as ``"30d"``, and rows of each machine, or of each
            graph of what is gone; see `History.prune`.
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
