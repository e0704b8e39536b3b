"""Who may begin a handshake: anybody, but not too many of one address.

Noise takes some milliseconds of CPU, and a connection a descriptor, before anything is known of who is there. So
whoever connects is a stranger until its hello was good, and strangers are bounded: of one address at a time and by
rate, and all together. Those beyond are hung up on at once. An address is an IPv4 one, or the 64 bits that a household
has of IPv6. The bounds are wide enough for fifty peers of one computer, or behind one router, that start together.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from pubsub.transport.counts import TransportCounts

AT_ONCE: Final = 64  # strangers of one address
STRANGERS: Final = 192  # of all addresses
TOGETHER: Final = 192  # connections of one address, strangers or not: so it cannot take all the places alone
EVERYBODY: Final = 256  # connections that others have made, strangers or not; libp2p would let 300 in
BURST: Final = 128  # connections of one address that may come at once, after a pause
RATE: Final = 16.0  # of them that may come in a second in the long run
MAX_CALLERS: Final = 4096  # addresses that are remembered: those that are inside, and the newest others


class Visit:
    """One connection that was let in, until it ends."""

    def __init__(self, door: Door, caller: _Caller) -> None:
        self._door = door
        self._caller = caller
        self._stranger = True
        self._inside = True

    def prove(self) -> None:
        """Note that it is no stranger any more."""
        if self._inside and self._stranger:
            self._stranger = False
            self._caller.strangers -= 1
            self._door.strangers -= 1

    def end(self) -> None:
        """Note that it has ended. Again: nothing."""
        if self._inside:
            self._door.counts.unproven += self._stranger
            self.prove()
            self._inside = False
            self._caller.inside -= 1
            self._door.everybody -= 1


class _Caller:
    """What is known of an address."""

    __slots__ = ("at", "inside", "strangers", "tokens")

    def __init__(self, moment: float) -> None:
        self.inside = 0
        self.strangers = 0
        self.tokens = float(BURST)
        self.at = moment

    def refill(self, moment: float) -> None:
        self.tokens = min(self.tokens + (moment - self.at) * RATE, float(BURST))
        self.at = moment


class Door:
    """Lets connections of others in.

    Args:
        counts: what is counted here.
        clock: the time, s.

    Attributes:
        strangers: connections whose hello was not good yet.
        everybody: all that are let in and have not ended.
    """

    def __init__(self, counts: TransportCounts, clock: Callable[[], float]) -> None:
        self.counts = counts
        self.strangers = 0
        self.everybody = 0
        self._clock = clock
        self._callers: dict[str, _Caller] = {}  # by when they came last

    def enter(self, host: str) -> Visit | None:
        """Let a connection of an IP address in; None: it is to be closed, which is counted."""
        key, moment = caller_of(host), self._clock()
        caller = self._callers.pop(key, None) or _Caller(moment)
        self._callers[key] = caller
        self._tidy()
        caller.refill(moment)
        theirs = caller.strangers >= AT_ONCE or caller.inside >= TOGETHER
        if theirs or self.strangers >= STRANGERS or self.everybody >= EVERYBODY:
            self.counts.crowded += 1
            return None
        if caller.tokens < 1:
            self.counts.too_fast += 1
            return None
        caller.tokens -= 1
        caller.inside += 1
        caller.strangers += 1
        self.strangers += 1
        self.everybody += 1
        return Visit(self, caller)

    def _tidy(self) -> None:
        if len(self._callers) > MAX_CALLERS:
            # there is one: no more than `EVERYBODY` of them can be inside
            idle = next(key for key, caller in self._callers.items() if not caller.inside)
            del self._callers[idle]


def caller_of(host: str) -> str:
    """Return what an IP address counts as: itself, or its network of 64 bits for IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
