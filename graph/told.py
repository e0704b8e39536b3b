"""What a peer tells others of its own edges, as the tags of a machine that it exposes: connections, and pipes.

    tags      the parts of: base85 of: zlib of: msgpack of [1, peers, links, pipes, cut]
    peers     peer ids that are named below, by their place; the first is the teller
    links     places of the peers that it is connected with
    pipes     [is a remove, peer, machine, state of the source, peer, machine, state of the target, label]
    cut       how many edges did not fit

A peer may tell its own only: connections that begin at it, and pipes that lead to its machines, for these are in its
process. All else that it says is refused. What comes in is bounded, before and after it is unpacked.
"""

from __future__ import annotations

import zlib
from base64 import b85decode, b85encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from graph.parts import EdgeKey, Link, Vertex, machine_vertex, peer_vertex, state_vertex

TOLD: Final = "@graph"  # the id of that machine
TAG: Final = 255  # bytes of a tag; gossip takes 256
ROOM: Final = 4096  # bytes of all tags; gossip takes 64 kB of all of a peer's machines
MIN_ROOM, MAX_ROOM = 256, 63 * TAG
MAX_UNPACKED: Final = 64 * 1024  # bytes
VERSION: Final = 1

Pipe = tuple[bool, int, str, str, int, str, str, str]


class _Told(msgspec.Struct, array_like=True, frozen=True):
    version: int
    peers: list[str]
    links: list[int]
    pipes: list[Pipe]
    cut: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a peer has told. ``cut``: edges that it had no room for; ``refused``: that are not its own."""

    edges: tuple[EdgeKey, ...]
    cut: int
    refused: int


def is_own(edge: EdgeKey, peer: str) -> bool:
    """Tell whether an edge is one that this peer may tell."""
    if edge.link is Link.CONNECTION:
        return edge.source == peer_vertex(peer)
    return edge.link in (Link.PIPE_ADD, Link.PIPE_REMOVE) and edge.target.peer == peer


def pack(edges: Sequence[EdgeKey], peer: str, room: int = ROOM) -> tuple[tuple[str, ...], int]:
    """Return the tags that tell a peer's own edges, and how many are left out: pipes first, the last ones first."""
    links = [edge for edge in edges if edge.link is Link.CONNECTION]
    ordered = [*links, *(edge for edge in edges if edge.link is not Link.CONNECTION)]
    fits, most = 0, len(ordered) + 1  # `most` do not fit; the first try is all of them
    data = _encode((), peer, len(ordered))
    middle = len(ordered)
    while most - fits > 1:
        tried = _encode(ordered[:middle], peer, len(ordered) - middle)
        if tried is not None and len(tried) <= room:
            fits, data = middle, tried
        else:
            most = middle
        middle = (fits + most) // 2
    assert data is not None  # of nothing
    return tuple(data[at : at + TAG] for at in range(0, len(data), TAG)), len(ordered) - fits


def _encode(edges: Sequence[EdgeKey], peer: str, cut: int) -> str | None:
    """Return the text of all tags; None: nobody would unpack so much."""
    places = {peer: 0}

    def place(id: str) -> int:
        return places.setdefault(id, len(places))

    links = [place(edge.target.peer) for edge in edges if edge.link is Link.CONNECTION]
    pipes: list[Pipe] = [
        (link is Link.PIPE_REMOVE, place(a.peer), a.machine, a.state, place(b.peer), b.machine, b.state, label)
        for link, a, b, label in edges
        if link is not Link.CONNECTION
    ]
    packed = msgspec.msgpack.encode(_Told(VERSION, list(places), links, pipes, cut))
    if len(packed) > MAX_UNPACKED:
        return None
    return b85encode(zlib.compress(packed)).decode()


def unpack(tags: Sequence[str], peer: str) -> Heard:
    """Return what the tags of a peer's machine say.

    Raises:
        ValueError: they are not such tags.
    """
    text = "".join(tags)
    if len(text) > MAX_ROOM + TAG:
        raise ValueError(f"{len(text)} bytes are more than {MAX_ROOM}")
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(b85decode(text), MAX_UNPACKED)
        if not unpacker.eof:
            raise ValueError(f"it is more than {MAX_UNPACKED} bytes, or less than was sent")
        told = msgspec.msgpack.decode(data, type=_Told)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"it cannot be unpacked: {error}") from None
    if told.version != VERSION:
        raise ValueError(f"it is of version {told.version}, this program knows {VERSION}")
    if not told.peers or told.peers[0] != peer:
        raise ValueError("it is of another peer")
    places = [*told.links, *(at for pipe in told.pipes for at in (pipe[1], pipe[4]))]
    if not all(0 <= at < len(told.peers) for at in places):
        raise ValueError("it names a peer that it does not list")
    edges = [EdgeKey(Link.CONNECTION, peer_vertex(peer), peer_vertex(told.peers[at])) for at in told.links]
    for removes, a, machine, state, b, other, its_state, label in told.pipes:
        link = Link.PIPE_REMOVE if removes else Link.PIPE_ADD
        ends = _end(machine, state, told.peers[a]), _end(other, its_state, told.peers[b])
        edges.append(EdgeKey(link, *ends, label))
    own = tuple(dict.fromkeys(edge for edge in edges if is_own(edge, peer)))
    return Heard(own, told.cut, len(edges) - len(own))


def _end(machine: str, state: str, peer: str) -> Vertex:
    return state_vertex(machine, state, peer) if state else machine_vertex(machine, peer)
