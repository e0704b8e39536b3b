"""What a running peer knows just now, copied for threads: a question about the present may look at replicas, too."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import trio

if TYPE_CHECKING:
    from machine import Schema
    from pubsub.peer import Peer
    from pubsub.replica import Replica

FRESH: Final = 1.0  # s: to look at a thousand replicas takes the peer some ms
SHARE: Final = 0.05  # of its time that a peer spends with this at most
BASE58: Final = 4096  # peer ids that are kept


@dataclass(frozen=True, slots=True)
class Heard:
    """A machine of somebody else, as it is known just now.

    Attributes:
        ticks: by state.
        schema: its states.
        epoch, version: of the record that said so.
        since: us since anything was heard of its owner.
        tags, parent: of it.
    """

    ticks: Mapping[str, int]
    schema: Schema
    epoch: int
    version: int
    since: int
    tags: tuple[str, ...]
    parent: str | None


@dataclass(frozen=True, slots=True)
class Live:
    """How things are for a peer at one moment.

    Attributes:
        peer: its id.
        topic: of its network.
        heard: machines of others, by peer id and name.
        online: whether a peer is held for alive; None: it is suspected.
        age: of all this, us.
    """

    peer: str
    topic: str | None = None
    heard: Mapping[tuple[str, str], Heard] = field(default_factory=dict)
    online: Mapping[str, bool | None] = field(default_factory=dict)
    age: int = 0

    def since(self, heard: Heard) -> int:
        """Return since when nothing was heard of the owner of a machine, us."""
        return heard.since + self.age

    def silent(self, base: tuple[str, str]) -> int | None:
        """Return the same of a machine, ms; None: it is none that the peer has heard of."""
        heard = self.heard.get(base)
        return None if heard is None else self.since(heard) // 1000


class Looking(Protocol):
    """Knows how things are for a peer."""

    async def refresh(self) -> None:
        """See that what is known is not much older than a second, if that does not take long."""

    def look(self) -> Live:
        """Return how things are."""

    def look_at(self, machine: str, owner: str | None) -> Live:
        """Return the same, with machines of one name as new as can be."""


class LivePeer:
    """Looks at a peer, in the peer's own thread.

    Args:
        peer: which.
        topic: of its network.
    """

    def __init__(self, peer: Peer, topic: str | None) -> None:
        from pubsub.names import peer_id_of

        self._peer = peer
        self._topic = topic
        self._name = lru_cache(BASE58)(peer_id_of)
        self._kept: Live | None = None
        self._at = self._until = 0.0

    async def refresh(self) -> None:
        """Do nothing: to look does it."""

    def look(self) -> Live:
        """Return how things are; what was seen within the last second is good enough."""
        now = trio.current_time()
        if self._kept is None or now >= self._until:
            began = time.thread_time()
            self._kept, self._at = self._copy(), now
            self._until = now + max(FRESH, (time.thread_time() - began) / SHARE)
        return replace(self._kept, age=round((now - self._at) * 1e6))

    def look_at(self, machine: str, owner: str | None) -> Live:
        """Return how things are, with machines of one name as they are this instant."""
        live = self.look()
        replicas = self._peer.replicas(id=machine)
        found = {(self._name(r.owner), r.id): self._heard(r, live.age) for r in replicas}
        return replace(live, heard={**live.heard, **found}) if found else live

    def _copy(self) -> Live:
        from pubsub.members import Status

        peer = self._peer
        online: dict[str, bool | None] = {peer.id: True}
        for member in peer.members():
            if member.id != peer.id:
                online[member.id] = None if member.status is Status.SUSPECT else member.status is Status.ALIVE
        heard = {(self._name(r.owner), r.id): self._heard(r) for r in peer.replicas() if r.id[:1] != "@"}
        return Live(peer.id, self._topic, heard, online)

    def _heard(self, replica: Replica, age: int = 0) -> Heard:
        since = round(self._peer.staleness(replica) * 1e6) - age
        return Heard(
            dict(replica.clock()),
            replica.schema,
            replica.epoch,
            replica.version,
            since,
            tuple(replica.tags),
            replica.parent_id,
        )
