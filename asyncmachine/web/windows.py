"""Files of windows: made, opened, and kept in memory for a while. A few; the oldest goes when there are more."""

from __future__ import annotations

import secrets
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from asyncmachine.web.asked import AskExport, WrongError
from asyncmachine.web.source import LAST, Source
from asyncmachine.web.window import Window, collect, fill, read_window
from history import HistoryError, open_store
from history.memory import MemoryStore

KEPT: Final = 4
LARGEST: Final = 64 * 1024 * 1024  # bytes of a file that is opened
SQLITE: Final = b"SQLite format 3\0"
STEPS: Final = 200_000_000  # of SQLite's machine, while it looks at a file of somebody else


def export(source: Source, ask: AskExport) -> bytes:
    """Return a window of a history as a file."""
    low, high = source.window(ask.since, ask.until)
    window = collect(source, low, high)
    if ask.format == "json":
        return msgspec.json.encode(window)
    with tempfile.TemporaryDirectory(prefix="am-window-") as folder:
        path = Path(folder) / "window.db"
        store = open_store(f"sqlite:///{path}")
        try:
            store.open()
            fill(store, window)
        finally:
            store.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # one file, and nothing beside it
        return path.read_bytes()


def open_window(body: bytes, title: str) -> Source:
    """Return a file, JSON or SQLite, as what can be asked.

    Raises:
        WrongError: it is no window.
    """
    window = _from_sqlite(body) if body.startswith(SQLITE) else read_window(body)
    store = MemoryStore()
    fill(store, window)
    if not store.machines():
        raise WrongError("there is no machine in this file")
    return Source(store, mode="window", title=window.title or title)


def _from_sqlite(body: bytes) -> Window:
    """Read a database of somebody else: only tables, only read, and only for so long; then judged as any file is."""
    with tempfile.TemporaryDirectory(prefix="am-window-") as folder:
        path = Path(folder) / "window.db"
        path.write_bytes(body)
        try:
            _check_sqlite(path)
            store = open_store(f"sqlite:///{path}", read_only=True)
            try:
                store.open()
                source = Source(store, mode="window", title="")
                return collect(source, -1, LAST - 1)
            finally:
                store.close()
        except WrongError:
            raise
        except (sqlite3.Error, HistoryError) as error:
            told = str(error).replace(str(path), "it").replace("sqlite:///", "")
            raise WrongError(f"this database is no window of a history: {told}") from None
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            raise WrongError(f"this database is no window of a history: {type(error).__name__}") from None


def _check_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        steps = iter(range(STEPS // 10_000))
        connection.set_progress_handler(lambda: next(steps, None) is None, 10_000)
        connection.execute("PRAGMA trusted_schema=OFF")
        other = connection.execute(
            "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')"
        ).fetchone()
        if other is not None:
            raise WrongError(f"this database has a {other[0]}, which no history has")
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise WrongError(f"this database is damaged: {str(found)[:200]}")


class Windows:
    """The windows that were opened, by id."""

    def __init__(self, kept: int = KEPT, *, name: Callable[[], str] = lambda: secrets.token_urlsafe(12)) -> None:
        self._kept = kept
        self._name = name
        self._sources: dict[str, Source] = {}

    def add(self, source: Source) -> str:
        """Keep one; return its id."""
        id = self._name()
        self._sources[id] = source
        while len(self._sources) > self._kept:
            gone = self._sources.pop(next(iter(self._sources)))
            gone.store.close()
        return id

    def get(self, id: str) -> Source:
        """Return one.

        Raises:
            WrongError: it is not there any more.
        """
        found = self._sources.get(id)
        if found is None:
            raise WrongError(f"there is no window {id[:80]!r} any more: open its file again", "window", 404)
        return found
