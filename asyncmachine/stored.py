"""The history that a command of `am` asks: it has to be there, since asking never makes a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from history import QuestionError, StorageError, default_url, open_store
from history.store import Store


@contextmanager
def opened_store(
    given: str | None, command: str, maker: str, *, read_only: bool = False
) -> Iterator[tuple[Store, int]]:
    """Open the store of a history for reading; yield it, and the stamp of the last row.

    Args:
        given: a file or a URL; None: the file in the data directory.
        command: that asks, for the hint how to name another one.
        maker: how a program makes one, for whoever has none; ``{url}`` stands for the URL, if one is given.
        read_only: nothing of it is changed: it is not brought up to date.

    Raises:
        QuestionError: it is one in memory. StorageError: there is none, or it cannot be opened.
    """
    url = given or default_url()
    if "://" not in url and url != "memory:":
        url = f"sqlite:///{Path(url).expanduser()}"
    if url in ("memory:", "sqlite://", "sqlite:///:memory:"):
        raise QuestionError(f"a history in memory ({url}) ends with the program that made it: name a file")
    store = open_store(url, read_only=read_only)
    try:
        if not store.exists():
            other = "" if given else f"; for one that is elsewhere: {command} -H FILE …, or set AM_HISTORY"
            made = maker.replace("{url}", repr(store.url) if given else "")
            raise StorageError(f"there is no history at {store.url}. A program makes one with {made}{other}")
        yield store, store.open()
    finally:
        store.close()
