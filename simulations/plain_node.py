"""A node to compare the protocol with: it owns a machine and knows those of others, and has no protocol yet.

It has the few methods of `pubsub.core.Core` that `simulations.gossip` uses, tells the same events, and keeps what it
knows in the same ledger. So the same workload, faults and instruments serve for it. Each peer has one machine here.
"""

from __future__ import annotations

from typing import Any

from machine import Reader
from pubsub.boundary import NOTIFY, Host, Message, Output, Outputs
from pubsub.epochs import Epochs
from pubsub.events import Committed, Published
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity
from pubsub.ledger import Ledger
from pubsub.numbers import Numbers
from pubsub.publisher import Publisher
from pubsub.state import OwnerState


class PlainNode:
    """Knows, and publishes nothing. The arguments are those of a core; what is of its protocol alone is not used."""

    def __init__(
        self, host: Host, identity: Identity, domain: Domain, *, numbers: Numbers | None = None, **of_the_core: Any
    ) -> None:
        self.host = host
        self.identity = identity
        self.ledger = Ledger(numbers=numbers)
        self.publisher = Publisher(identity, domain, HybridClock(host.wall), 0)
        self._is_new = True  # it has to be told of the others, and they of it
        self._epochs = Epochs(host.disk, host.wall)

    def adopt(self, known: Ledger) -> None:
        """Take over all that somebody else knows."""
        self.ledger.adopt(known)
        self._is_new = False

    def expose(self, now: int, machine: Reader) -> Outputs[int]:
        """Publish a machine from the start on."""
        self.publisher.expose(machine)
        return ()

    def publish(self, out: list[Output[int]]) -> OwnerState | None:
        """Make a state of what has changed, and tell the application; return it, None if nothing has."""
        for exposure in self.publisher.exposures:
            self.publisher.changed(exposure)
        if self.publisher.flush() is None:
            return None
        state = self.publisher.state
        assert state is not None
        self.ledger.commit(state)
        out.append((NOTIFY, Published(state)))
        return state

    def commit(self, state: OwnerState, out: list[Output[int]]) -> bool:
        """Take over a state if it is newer than what is known, and tell the application; return whether it was."""
        before = self.ledger.get(state.owner)
        if before is not None and before.order >= state.order:
            return False
        self.ledger.commit(state)
        out.append((NOTIFY, Committed(state, before)))
        return True

    def start(self, now: int) -> Outputs[int]:
        """Begin a life."""
        epoch, _ = self._epochs.first()
        self.publisher.epoch = epoch
        self._epochs.save(epoch)
        out: list[Output[int]] = []
        self.publish(out)
        return out

    def joined(self, state: OwnerState, out: list[Output[int]]) -> None:
        """Tell others of this peer's state: there is a first connection."""

    def changed(self, now: int) -> Outputs[int]:
        """Look after the machine, which may have changed."""
        return ()

    def topic(self, now: int, peer: int, message: Message) -> Outputs[int]:
        """Take a message of the topic."""
        return ()

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        """Join, with the first connection. The topic sees to its mesh."""
        out: list[Output[int]] = []
        if self._is_new and self.publisher.state is not None:
            self._is_new = False
            self.joined(self.publisher.state, out)
        return out

    def link_down(self, now: int, peer: int) -> Outputs[int]:
        """Do nothing: the topic sees to its mesh."""
        return ()

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        """Take nothing: all goes over the topic."""
        return ()

    def timer(self, now: int) -> Outputs[int]:
        """Wait for nothing."""
        return ()


__all__ = ["PlainNode"]
