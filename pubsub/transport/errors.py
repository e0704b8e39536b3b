"""Errors of transports: all of them are the world's doing, and the driver answers each without telling you.

TransportError
├── DialError        nobody answered, or somebody refused
├── ConnectionLost   the other end, or this one, has gone
└── Overrun          the other end reads too slowly for what is sent to it
"""

from __future__ import annotations

from pubsub.errors import PubsubError


class TransportError(PubsubError):
    """Be the base of what may go wrong with connections."""


class DialError(TransportError):
    """Report that no connection came about; says with whom and why. See `ConnectionLost` for one that there was."""


class ConnectionLost(TransportError):
    """Report that a connection has ended, whoever ended it; what was on its way is lost. See `DialError`."""


class Overrun(TransportError):
    """Report that too much waits for the other end; says how much. The message was not sent, the connection stands."""
