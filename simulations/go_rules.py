"""The rules of the Go system's gossip as it publishes them, to compare with: heartbeats, digests, no repair.

* What has changed is published on the topic with the next heartbeat, every 5 s, as the whole clock of the machine.
* What was received is taken over in batches, at the end of each second.
* Who joins publishes its machines with their full schemas, and so does everybody who hears it, with the next heartbeat.
* Some heartbeats, by chance, carry a digest: of which owners the peer knows machines. Who lacks one asks for it on the
  topic, and the owner publishes its machines again. A digest says nothing of clocks: an update that was lost is lost
  until the machine's next change.

This is written from the rules alone, and kind to them: nothing is signed, sizes are those of our own encoding, which
are smaller, and a peer that restarts is the same peer. Without the topic's own envelope:

    update  name of the peer 38, index 1, the ticks    machines  the same, and id, schema
    digest  8 for each owner, and a count              ask       8 for each owner
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pubsub.boundary import NEVER, PUBLISH, WAKE, Host, Message, Output, Outputs
from pubsub.identity import Domain, Identity
from pubsub.schemas import encode_schema
from pubsub.state import OwnerState
from pubsub.wire import varints
from simulations.plain_node import PlainNode
from simulations.scenario import GoRules
from simulations.scenario_parts import microseconds

NAME_BYTES, SHORT_BYTES = 38, 8


@dataclass(frozen=True, slots=True)
class Update:
    """The clock of a machine."""

    state: OwnerState
    size: int
    records: int = 1


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines of an owner, with their schemas. `joins`: it is new, and wants to be told of others."""

    state: OwnerState
    size: int
    joins: bool
    records: int = 1


@dataclass(frozen=True, slots=True)
class Digest:
    """Of which owners a peer knows machines, and how many."""

    owners: tuple[bytes, ...]
    size: int
    records: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """Owners that a peer does not know."""

    owners: tuple[bytes, ...]
    size: int
    records: int = 0


class GoNode(PlainNode):
    """A peer under these rules."""

    def __init__(self, host: Host, identity: Identity, domain: Domain, *, rules: GoRules, **of_the_core: Any) -> None:
        super().__init__(host, identity, domain, **of_the_core)
        self._rules = rules
        self._heartbeat = microseconds(rules.heartbeat)
        self._batch = microseconds(rules.batch)
        self._beat_at = NEVER
        self._batch_at = NEVER
        self._phase = 0
        self._received: list[Update | Machines] = []
        self._tells = False
        self._asks: dict[bytes, None] = {}
        self.unknown = 0
        """Updates of owners whose machines were not known: they were lost."""

    @classmethod
    def under(cls, rules: GoRules) -> Callable[..., GoNode]:
        """Return what makes a node of the arguments of a core."""

        def make(host: Host, identity: Identity, domain: Domain, **of_the_core: Any) -> GoNode:
            return cls(host, identity, domain, rules=rules, **of_the_core)

        return make

    def start(self, now: int) -> Outputs[int]:
        """Begin a life, and let the heart beat from a time of its own."""
        self._beat_at = now + self.host.random.randrange(self._heartbeat)
        self._phase = self.host.random.randrange(max(self._batch, 1))
        return [*super().start(now), (WAKE, self._beat_at)]

    def joined(self, state: OwnerState, out: list[Output[int]]) -> None:
        """Publish the machines, and ask for those of others."""
        out.append((PUBLISH, _machines(self, state, joins=True)))

    def topic(self, now: int, peer: int, message: Message) -> Outputs[int]:
        """Keep it for the end of the batch; a digest or an ask is looked at when the heart beats."""
        out: list[Output[int]] = []
        if isinstance(message, Update | Machines):
            if isinstance(message, Machines) and message.joins:
                self._tells = True
            self._received.append(message)
            if not self._batch:
                self._take(out)
            elif self._batch_at == NEVER:
                self._batch_at = now + self._batch - (now - self._phase) % self._batch
                out.append((WAKE, min(self._batch_at, self._beat_at)))
        elif isinstance(message, Digest):
            self._asks |= dict.fromkeys([owner for owner in message.owners if self.ledger.get(owner) is None])
        elif isinstance(message, Ask) and self.identity.owner in message.owners:
            self._tells = True
        return out

    def timer(self, now: int) -> Outputs[int]:
        """Take over a batch, or beat."""
        out: list[Output[int]] = []
        if self._batch_at <= now:
            self._batch_at = NEVER
            self._take(out)
        if self._beat_at <= now:
            self._beat_at = now + self._heartbeat
            self._beat(out)
        out.append((WAKE, min(self._batch_at, self._beat_at)))
        return out

    def _take(self, out: list[Output[int]]) -> None:
        for message in self._received:
            if isinstance(message, Update) and self.ledger.get(message.state.owner) is None:
                self.unknown += 1
            else:
                self.commit(message.state, out)
        self._received.clear()

    def _beat(self, out: list[Output[int]]) -> None:
        state = self.publish(out)
        if self._tells and self.publisher.state is not None:
            self._tells = False
            out.append((PUBLISH, _machines(self, self.publisher.state, joins=False)))
        elif state is not None:
            out.append((PUBLISH, Update(state, NAME_BYTES + _clocks(state))))
        if self.host.random.random() < self._rules.digest:
            known = tuple([owner for owner, _ in self.ledger.items()])
            out.append((PUBLISH, Digest(known, (SHORT_BYTES + 1) * len(known))))
        asks = tuple([owner for owner in self._asks if self.ledger.get(owner) is None])
        self._asks.clear()
        if asks:
            out.append((PUBLISH, Ask(asks, SHORT_BYTES * len(asks))))


def _clocks(state: OwnerState) -> int:
    return sum(1 + len(varints(machine.ticks)) for machine in state.values())


def _machines(node: GoNode, state: OwnerState, *, joins: bool) -> Machines:
    described = sum(len(machine.description.encode()) for machine in state.values())
    schemas = sum(len(encode_schema(exposure.declared)) for exposure in node.publisher.exposures)
    return Machines(state, NAME_BYTES + _clocks(state) + described + schemas, joins)


__all__ = ["GoNode"]
