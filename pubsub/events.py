"""What the core tells the application, beside what `catalog`, `members`, `pull` and `serve` tell."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from pubsub.proof import Proof
from pubsub.state import OwnerState


class Committed(NamedTuple):
    """This peer has accepted a new state of an owner. ``before``: the one it had."""

    state: OwnerState
    before: OwnerState | None


@dataclass(frozen=True, slots=True)
class Published:
    """This peer has published a new state of its own."""

    state: OwnerState


@dataclass(frozen=True, slots=True)
class Linked:
    """This peer talks to a neighbour from now on. ``peer``: as its transport names it; ``dialed``: by this peer."""

    peer: Hashable
    dialed: bool


@dataclass(frozen=True, slots=True)
class Unlinked:
    """This peer does not talk to a neighbour any more."""

    peer: Hashable


@dataclass(frozen=True, slots=True)
class Meshed:
    """The topic's own protocol has taken a neighbour into its mesh, or has put it out. Told by the transport."""

    peer: Hashable
    is_in: bool


@dataclass(frozen=True, slots=True)
class Repaired:
    """A session of repair has come to its end. Told to a shell that asks for it, as `Peer` does.

    ``mine``: this peer began it; ``news``: records that it brought here, though they should have been here long before.
    """

    peer: Hashable
    mine: bool
    news: int


@dataclass(frozen=True, slots=True)
class Convicted:
    """An owner has signed two records that contradict each other."""

    proof: Proof


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """Somebody else publishes under this peer's key, again and again: two peers run with it, or it was stolen.

    ``epoch``: the newest that was seen of the other one.
    """

    epoch: int
