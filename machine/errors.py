"""Every error of the package, by whose fault it is.

    AsyncMachineError
    ├── (you)    MisuseError            a call that cannot mean anything
    │            ├── SchemaError         the schema contradicts itself; lists every problem at once
    │            ├── UnknownStateError   no such state; also a LookupError
    │            ├── BindError           handlers that match no state, are ambiguous, or cannot be called
    │            ├── SnapshotError       a snapshot that belongs to another machine or schema
    │            ├── NestedEvalError     eval() from a handler or from another eval()
    │            ├── PendingError        the verdict of a ticket was read before it was there
    │            └── NotOpenError        background work on a machine outside open_machine()
    ├── (you)    DisposedError          the machine is gone
    └── (world)  HandlerTimeoutError    a handler held the machine longer than its budget

Failures of handlers never leave a mutation call: they become the Exception state, and ``Machine.last_error`` holds
what was raised.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class AsyncMachineError(Exception):
    """Be the base of all errors of this project."""


class MisuseError(AsyncMachineError, ValueError):
    """Report a call whose arguments cannot mean anything; the message names the value and the way out."""


class SchemaError(MisuseError):
    """Report a schema that cannot work. ``problems`` holds one sentence for each thing that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class UnknownStateError(AsyncMachineError, LookupError):
    """Report a name that is no state of this machine. See `SchemaError` for names inside a schema."""

    def __init__(self, name: object, known: Iterable[str], owner: str) -> None:
        self.name = name
        super().__init__(f"{owner} has no state {name!r}{did_you_mean(name, known)}")


class BindError(MisuseError):
    """Report handlers that cannot be bound: a misspelt, ambiguous or uncallable one. Nothing was bound."""


class SnapshotError(MisuseError):
    """Report a snapshot that does not fit this machine. The machine is unchanged."""


class NestedEvalError(MisuseError):
    """Report an eval() from inside a handler or another eval(), which would wait for itself."""


class PendingError(MisuseError):
    """Report that a queued mutation has no verdict yet: await its ticket."""


class NotOpenError(MisuseError):
    """Report background work on a machine that has no nursery: open it with ``async with open_machine(…)``."""


class DisposedError(AsyncMachineError):
    """Report a mutation of, or a wait on, a machine that has been disposed. See `NotOpenError` for the opposite."""


class HandlerTimeoutError(AsyncMachineError):
    """Describe a handler that exceeded its budget. It is counted and logged, and judged as a rejection."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return `` — did you mean …?`` or a list of what there is, to end a message about an unknown name."""
    names = list(known)
    close = get_close_matches(str(name), names, n=3, cutoff=0.6)
    if close:
        return f" — did you mean {' or '.join(repr(str(c)) for c in close)}?"
    shown = ", ".join(str(n) for n in names[:8]) + (", …" if len(names) > 8 else "")
    return f"; there are: {shown}" if names else "; there are none"
