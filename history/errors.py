"""Every error of the package, by whose fault it is.

HistoryError
├── (you)    QuestionError       a time, a name or an option that cannot be answered; says what would work
│            ├── UnknownMachineError   never recorded here; also a LookupError
│            └── HorizonError          asked for a moment that retention has let go
├── (peer)   LogError           rows of another peer's log that are none: nothing of the page was stored; or a row of
│            │                  our own that is too large to be sent
│            └── LifeError             the log began anew, as its owner has another database
├── (world)  StorageError        the database cannot be opened, read or written; says why
│            └── VersionError          the file was written by a newer version of this program
└── (world)  ExtraMissingError   a format needs a library that is not installed; says how to get it
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from machine.errors import AsyncMachineError, did_you_mean

if TYPE_CHECKING:
    from history.times import LogicalTime


class HistoryError(AsyncMachineError):
    """Be the base of all errors of this package."""


class QuestionError(HistoryError, ValueError):
    """Report a question that cannot be answered as it was asked; the message shows what would work."""


class UnknownMachineError(QuestionError, LookupError):
    """Report a machine that was never recorded here. See `HorizonError` for moments that are gone."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(f"no machine {name!r} was recorded here{did_you_mean(name, known)}")


class HorizonError(QuestionError):
    """Report a moment that retention has let go. `horizon` is the first one that is known, in ns."""

    def __init__(self, machine: str, at: int | LogicalTime, horizon: int) -> None:
        from history.times import format_time

        self.horizon = horizon
        asked = format_time(at) if isinstance(at, int) else at
        super().__init__(
            f"{machine} at {asked} is beyond the horizon: retention kept it from {format_time(horizon)} on"
        )


class LogError(HistoryError):
    """Report rows that came from elsewhere and cannot be what they claim to be, or one that cannot be sent there."""


class LifeError(LogError):
    """Report rows of a log that is another one than that which is here: ask its owner for all of it, from the start."""


class StorageError(HistoryError):
    """Report that the database cannot be opened, read or written. Nothing that was acknowledged is lost."""


class VersionError(StorageError):
    """Report a database of a newer version than this program knows. It was not touched."""


class ExtraMissingError(HistoryError, ImportError):
    """Report that a format needs a library which is not installed; says how to get it."""
