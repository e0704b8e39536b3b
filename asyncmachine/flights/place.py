"""Where a demo records: in a file that the next one replaces, or where it is told to, if nothing is there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from history.errors import HistoryError, VersionError
from history.places import data_directory
from history.store import MachineRow

NAME = "demo.db"
OURS = ("flight", "airport", "aircraft", "airport:")  # what the tags of our machines begin with


class PlaceError(Exception):
    """There is something already. The message says what to do."""


@contextmanager
def place_for(url: str | None) -> Iterator[str]:
    """Yield the URL of a history that is still empty; None: of the default file.

    Raises:
        PlaceError: there is something. HistoryError: it cannot be looked at. OSError: no file can be made there.
    """
    if url is not None:
        if "://" not in url and url != "memory:":
            url = f"sqlite:///{Path(url).expanduser()}"
        _check_empty(url)
        yield url
        return
    folder = data_directory()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    with _alone(folder / f"{NAME}.lock", path):
        if path.exists():
            _check_ours(path)
            for name in (NAME, f"{NAME}-wal", f"{NAME}-shm"):
                (folder / name).unlink(missing_ok=True)
        yield f"sqlite:///{path}"


def _check_empty(url: str) -> None:
    found = _machines(url)
    if found is None:
        raise PlaceError(f"{url} is something else than a history: name a file that is not there yet")
    if found:
        raise PlaceError(
            f"there is a history of {len(found):,} machines at {url} already, and this one begins anew:"
            " name a file that is not there yet, or an empty database"
        )


def _check_ours(path: Path) -> None:
    otherwise = "move it away, or record elsewhere with --history FILE"
    found: list[MachineRow] | None
    try:
        found = _machines(f"sqlite:///{path}")
    except VersionError:
        raise PlaceError(f"{path} was made by a newer version of this program: {otherwise}") from None
    except HistoryError:
        found = None
    if found is None or not all(any(tag.startswith(OURS) for tag in machine.tags) for machine in found):
        raise PlaceError(f"{path} is not the history of a demo: {otherwise}")


def _machines(url: str) -> list[MachineRow] | None:
    """Return the machines of a history; none if nothing is there; None if it is no history."""
    from history.opening import open_store  # which loads the database's library

    store = open_store(url)
    path = getattr(store, "path", None)
    try:
        if not store.exists():
            is_free = path is None or not Path(path).exists() or not Path(path).stat().st_size
            return [] if is_free else None
        store.open()
        return store.machines()
    finally:
        store.close()


@contextmanager
def _alone(lock: Path, path: Path) -> Iterator[None]:
    """Hold the default file: two demos would delete each other's."""
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PlaceError(f"another demo records in {path}: let it end, or use --history FILE") from None
        yield
    finally:
        os.close(file)
