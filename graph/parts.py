"""What a graph is made of: vertices and edges, each with a key that says what it is.

Between the same two vertices there may be any number of edges: of different kinds, and several of one kind, told apart
by a label. So none ever overwrites another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


class Kind(StrEnum):
    """What a vertex is."""

    PEER = "peer"
    MACHINE = "machine"
    STATE = "state"


class Link(StrEnum):
    """What an edge is."""

    HAS = "has"  # machine to state
    REQUIRE = "require"  # state to state of one machine, as the schema has it
    ADD = "add"
    REMOVE = "remove"
    AFTER = "after"
    PIPE_ADD = "pipe add"  # state to state of another machine: its activation, or deactivation, adds that one
    PIPE_REMOVE = "pipe remove"
    PARENT = "parent"  # machine to the machine that it belongs to
    OWNS = "owns"  # peer to machine
    REPLICA = "replica"  # peer to a machine of another peer of which it has a copy
    CONNECTION = "connection"  # peer to peer: what carries the three below
    MESH = "mesh"
    NEIGHBOUR = "neighbour"
    SESSION = "session"


RELATIONS = (Link.REQUIRE, Link.ADD, Link.REMOVE, Link.AFTER)
PIPES = (Link.PIPE_ADD, Link.PIPE_REMOVE)
BETWEEN_PEERS = (Link.CONNECTION, Link.MESH, Link.NEIGHBOUR, Link.SESSION)


class Vertex(NamedTuple):
    """The key of a vertex.

    Attributes:
        kind: what it is.
        peer: id of the peer; of the owner, for its machines and their states. Empty: this process, without a network.
        machine, state: their names; empty for what is none.
    """

    kind: Kind
    peer: str = ""
    machine: str = ""
    state: str = ""

    def __str__(self) -> str:
        if self.kind is Kind.PEER:
            return self.peer or "this process"
        owner = f"{self.peer[-8:]}/" if self.peer else ""
        return f"{owner}{self.machine}" + (f".{self.state}" if self.state else "")


def peer_vertex(peer: str = "") -> Vertex:
    """Return the key of a peer."""
    return Vertex(Kind.PEER, peer)


def machine_vertex(machine: str, peer: str = "") -> Vertex:
    """Return the key of a machine."""
    return Vertex(Kind.MACHINE, peer, machine)


def state_vertex(machine: str, state: str, peer: str = "") -> Vertex:
    """Return the key of a state."""
    return Vertex(Kind.STATE, peer, machine, state)


class EdgeKey(NamedTuple):
    """The key of an edge. ``label`` tells edges apart that are alike in everything else."""

    link: Link
    source: Vertex
    target: Vertex
    label: str = ""

    def __str__(self) -> str:
        return f"{self.source} -{self.link}-> {self.target}" + (f" ({self.label})" if self.label else "")


Key = Vertex | EdgeKey


@dataclass(frozen=True, slots=True)
class Part:
    """A vertex or an edge that is in a graph.

    Attributes:
        key: what it is.
        since: from when on, ns since 1970 (hybrid logical time).
        tags: more about it: the tags of a machine, what one may filter by.
    """

    key: Key
    since: int
    tags: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Change:
    """Something that came into a graph, or went.

    Attributes:
        number: of the change, from 1; each is one more than the one before.
        at: when, ns since 1970; it never decreases.
        came: True: it came; False: it went.
        key, tags: of what.
    """

    number: int
    at: int
    came: bool
    key: Key
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            "number": self.number,
            "at": self.at,
            "came": self.came,
            "tags": list(self.tags),
            **key_to_json(self.key),
        }


def key_to_json(key: Key) -> dict[str, Any]:
    """Return a key as what JSON can hold."""
    if isinstance(key, Vertex):
        return {"vertex": [key.kind.value, *key[1:]]}
    return {
        "edge": key.link.value,
        "source": [key.source.kind.value, *key.source[1:]],
        "target": [key.target.kind.value, *key.target[1:]],
        "label": key.label,
    }


_KINDS = {kind.value: kind for kind in Kind}  # a quarter of the time that calling the class takes
_LINKS = {link.value: link for link in Link}


def texts_of(key: Key) -> tuple[str, ...]:
    """Return a key as what a table can hold: four texts of a vertex, ten of an edge."""
    if isinstance(key, Vertex):
        return key.kind.value, *key[1:]
    return key.link.value, *texts_of(key.source), *texts_of(key.target), key.label


def key_of(texts: Sequence[str]) -> Key:
    """Return the key that `texts_of` has made these of.

    Raises:
        ValueError: they are of a kind that is not known here.
    """
    try:
        if len(texts) == 4:
            return Vertex(_KINDS[texts[0]], *texts[1:])
        link, a, b = _LINKS[texts[0]], _KINDS[texts[1]], _KINDS[texts[5]]
    except KeyError as error:
        raise ValueError(f"{error} is not known") from None
    return EdgeKey(link, Vertex(a, *texts[2:5]), Vertex(b, *texts[6:9]), texts[9])
