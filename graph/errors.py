"""Every error of the package, by whose fault it is.

GraphError
├── (you)    NotInGraphError     a machine, state or peer that the graph does not have at that time; also a LookupError
├── (you)    NotRecordedError    a graph that a history does not have; also a LookupError
├── (you)    BeyondHorizonError  a moment that was let go
└── (world)  TakenOverError      somebody else records a graph of this name now
"""

from __future__ import annotations

from machine.errors import AsyncMachineError


class GraphError(AsyncMachineError):
    """Be the base of all errors of this package."""


class NotInGraphError(GraphError, LookupError):
    """Report a vertex that is not there; the message names it and when was asked for."""


class NotRecordedError(GraphError, LookupError):
    """Report a graph that a history does not have; the message names those that it has."""


class BeyondHorizonError(GraphError, LookupError):
    """Report a moment of which the past was let go. `horizon` is the first one that is known, in ns."""

    def __init__(self, at: int, horizon: int) -> None:
        from history.times import format_time

        self.horizon = horizon
        super().__init__(
            f"the graph at {format_time(at)} is beyond the horizon: it is kept from {format_time(horizon)} on"
        )


class TakenOverError(GraphError):
    """Report that somebody else records a graph of this name in the same database: its own recording has ended."""
