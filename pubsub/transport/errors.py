"""Errors of transports: the world's doing, which the driver answers without telling you, and two that are yours.

TransportError
├── DialError        nobody answered, or somebody refused
├── ConnectionLost   the other end, or this one, has gone
├── Overrun          the other end reads too slowly for what is sent to it
├── AddressError     (you) an address that cannot be used
└── ListenError      (you) an address where nobody can listen, or not twice
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


class AddressError(TransportError, ValueError):
    """Report text that is no address of a peer; says what is wrong with it, and what to write. See `ListenError`."""


class ListenError(TransportError):
    """Report an address where this peer cannot listen, such as a port in use; names it. See `AddressError`."""
