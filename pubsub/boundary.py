"""The boundary of the protocol core: what a shell, or a simulation, calls and what it is told to do in return.

The core is sans-IO. Time comes in with each call, as an int of microseconds on a monotonic clock; the wall clock (int
of milliseconds since 1970), the randomness and the disk are injected in a `Host`. Nothing else reaches it, so that the
same calls give the same outputs, whoever makes them.

* Each input returns its outputs, which are to be carried out in order and before the next input.
* Outputs are plain tuples whose first item is their kind: one takes 35 ns to make and a slotted object 125 ns.
* Peers are opaque and hashable: bytes in a network, small ints in a simulation.
* Messages are immutable and may be shared: a simulation hands them over as they are, a shell encodes them.
* A session (`SYNC`, `CATALOG`, `HISTORY`) is a stream of a connection. Whoever opens it numbers it: the side that
  dialled with odd numbers, the other with even ones. `LINK` is the one long-lived stream of a connection, number 0.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

P = TypeVar("P", bound=Hashable)

# Channels. TOPIC is what a shell (or a model of gossipsub) uses for itself: the core has `topic` and PUBLISH.
TOPIC: Final = 0
LINK: Final = 1
SYNC: Final = 2
CATALOG: Final = 3
HISTORY: Final = 4
CHANNELS: Final = ("topic", "link", "sync", "catalog", "history")

# Kinds of output.
SEND: Final = 0
PUBLISH: Final = 1
WAKE: Final = 2
DIAL: Final = 3
HANG_UP: Final = 4
NOTIFY: Final = 5
REFUSE: Final = 6

SECOND: Final = 1_000_000  # us, in which all times are counted
NEVER: Final = 2**62  # a time to wake at that never comes


class Message(Protocol):
    """Something that one core says to another. Immutable."""

    @property
    def size(self) -> int:
        """The length of its encoding, bytes: what bandwidth and byte counters use."""


Output: TypeAlias = (
    tuple[Literal[0], P, int, int, Message]  # SEND, to, channel, stream, message
    | tuple[Literal[1], Message]  # PUBLISH on the topic
    | tuple[Literal[2], int]  # WAKE at this time (us): call `timer` then. The newest replaces the one before
    | tuple[Literal[3], P]  # DIAL: the answer is `link_up`, or `link_down` if it failed; none if connected
    | tuple[Literal[4], P]  # HANG_UP: no `link_down` follows
    | tuple[Literal[5], object]  # NOTIFY the application, and the checkers of a simulation
    | tuple[Literal[6], str]  # REFUSE, why: from `topic` only. The message is not passed on to others
)
Outputs: TypeAlias = Sequence[Output[P]]


class Disk(Protocol):
    """What a peer keeps over a crash."""

    def read(self, key: str) -> bytes | None:
        """Return what was last written under the key, synced or not; None if nothing was."""

    def write(self, key: str, value: bytes) -> None:
        """Write; a crash before `sync` may lose it."""

    def sync(self) -> None:
        """Return when all that was written survives a crash."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """What the core may use of the world around it."""

    random: random.Random
    wall: Callable[[], int]  # ms since 1970; may jump, may be wrong
    disk: Disk


class Node(Protocol[P]):
    """The inputs of the core. `now` never goes back, from one call to the next."""

    def start(self, now: int) -> Outputs[P]:
        """Begin, or begin again after a crash with what the disk kept. The first call."""

    def link_up(self, now: int, peer: P, dialed_by_us: bool) -> Outputs[P]:
        """There is a connection. Until `link_down` there is no second one with the same peer."""

    def link_down(self, now: int, peer: P) -> Outputs[P]:
        """Note that the connection is gone, with what was on its way; or that a dial failed."""

    def receive(self, now: int, peer: P, channel: int, stream: int, message: Message) -> Outputs[P]:
        """Take a message from the other end of a connection: in order, each at most once, if the network is kind."""

    def topic(self, now: int, peer: P, message: Message) -> Outputs[P]:
        """Take a message of the topic at its first sight. `peer` passed it on and need not have written it."""

    def timer(self, now: int) -> Outputs[P]:
        """Do what was to be done at the time of the last WAKE: at or after it."""
