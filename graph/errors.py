"""Every error of the package, by whose fault it is.

GraphError
└── (you)    NotInGraphError     a machine, state or peer that the graph does not have at that time; also a LookupError
"""

from __future__ import annotations

from machine.errors import AsyncMachineError


class GraphError(AsyncMachineError):
    """Be the base of all errors of this package."""


class NotInGraphError(GraphError, LookupError):
    """Report a vertex that is not there; the message names it and when was asked for."""
