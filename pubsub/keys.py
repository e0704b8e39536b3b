"""The key file of a peer, and what the peer keeps beside it.

    NAME          the seed, 64 hexadecimal digits and a line end; mode 0600
    NAME.epoch    the epoch of the last life
    NAME.lock     is locked while a process uses the key: two at once would contradict each other

A peer without a key file has a key for one life.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pubsub.errors import IdentityError
from pubsub.identity import SEED_BYTES, Identity

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FileDisk:
    """What a core keeps over a crash, in files whose names begin with that of the key. A write is complete or not."""

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix

    def _path(self, key: str) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}.{key}")

    def read(self, key: str) -> bytes | None:
        """Return what was last written under the key; None if nothing was."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, key: str, value: bytes) -> None:
        """Write a new file and put it in the place of the old one."""
        path = self._path(key)
        new = path.with_name(path.name + ".new")
        with new.open("wb") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    def sync(self) -> None:
        """Return when all that was written survives a crash of the machine, too."""
        folder = os.open(self._prefix.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class NoDisk:
    """What a core keeps that has a key for one life: nothing that outlives it."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def read(self, key: str) -> bytes | None:
        """Return what was last written under the key."""
        return self._values.get(key)

    def write(self, key: str, value: bytes) -> None:
        """Keep it."""
        self._values[key] = value

    def sync(self) -> None:
        """Do nothing."""


def read_identity(path: Path) -> Identity:
    """Return the identity of a key file, which is made if it is not there.

    Raises:
        IdentityError: it cannot be read or made, others can read it, or there is no key in it.
    """
    try:
        return _read(path) if path.exists() else _make(path)
    except OSError as error:
        raise IdentityError(f"the key file {path} cannot be used: {error.strerror or error}") from error


def _read(path: Path) -> Identity:
    mode = path.stat().st_mode
    if mode & _OTHERS:
        raise IdentityError(f"others can read the key file {path} (mode {mode & 0o777:04o}): chmod 600 {path}")
    try:
        seed = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != SEED_BYTES:
        raise IdentityError(f"the key file {path} does not hold {2 * SEED_BYTES} hexadecimal digits")
    return Identity(seed)


def _make(path: Path) -> Identity:
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = Identity.generate(secrets.token_bytes)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(identity.seed.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)  # fails if another process was faster, whose key it is then
    except FileExistsError:
        return _read(path)
    finally:
        new.unlink()
    return identity


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a key for as long as the block lasts.

    Raises:
        IdentityError: another process, or another peer of this one, holds it.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise IdentityError(f"the lock file {lock} cannot be used: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = ""
            with suppress(OSError):
                holder = os.read(file, 20).decode("ascii", "replace").strip()
            raise IdentityError(
                f"the key file {path} is in use by process {holder or 'unknown'}: give each peer a key of its own"
            ) from None
        os.ftruncate(file, 0)
        os.write(file, b"%d\n" % os.getpid())
        yield
    finally:
        os.close(file)
