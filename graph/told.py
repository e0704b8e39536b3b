"""What a peer tells others of its own edges, as the tags of a machine that it exposes.

    tags      the parts of: base64 of: zlib of: msgpack of [2, peers, links, holds, shapes, pipes, cut]
    peers     peer ids that are named below, by their place; the first is the teller
    links     [kind, place]: with whom it is connected, and how
    holds     [place, ids]: of whom it has copies: of all machines but these
    shapes    lists of [is a remove, state of the source, state of the target, label]: pipes between two machines
    pipes     [place, machine of the source, place, machine of the target, shape]
    cut       how many of these did not fit

A peer may tell its own only: links that begin at it, copies that it has, and pipes that lead to its machines, for these
are in its process. All else that it says is refused. What comes in is bounded, before and after it is unpacked.
"""

from __future__ import annotations

import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from graph.parts import BETWEEN_PEERS, EdgeKey, Link, Vertex, machine_vertex, peer_vertex, state_vertex

TOLD: Final = "@graph"  # the id of that machine
TAG: Final = 255  # bytes of a tag; gossip takes 256
ROOM: Final = 4096  # bytes of all tags; gossip takes 64 kB of all of a peer's machines
MIN_ROOM, MAX_ROOM = 256, 63 * TAG
MAX_UNPACKED: Final = 64 * 1024  # bytes
MAX_LACKS: Final = 32  # machines of one owner; who lacks more tells nothing of it
VERSION: Final = 2

_LINKS: Final = BETWEEN_PEERS  # a kind is told as its place in here: nothing but the end may be appended to


class Hold(NamedTuple):
    """Whose machines a peer has copies of: of all of an owner (peer id), but those of some ids."""

    owner: str
    lacks: tuple[str, ...] = ()


Item = EdgeKey | Hold
Shape = tuple[tuple[bool, str, str, str], ...]


class _Told(msgspec.Struct, array_like=True, frozen=True):
    version: int
    peers: list[str]
    links: list[tuple[int, int]]
    holds: list[tuple[int, list[str]]]
    shapes: list[list[tuple[bool, str, str, str]]]
    pipes: list[tuple[int, str, int, str, int]]
    cut: int


class _Version(msgspec.Struct, array_like=True, frozen=True):
    version: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a peer has told. ``cut``: what it had no room for; ``refused``: what is not its own."""

    edges: tuple[EdgeKey, ...]
    holds: tuple[Hold, ...]
    cut: int
    refused: int


def is_own(edge: EdgeKey, peer: str) -> bool:
    """Tell whether an edge is one that this peer may tell as such; copies are told as a `Hold`."""
    if edge.link in BETWEEN_PEERS:
        return edge.source == peer_vertex(peer)
    return edge.link in (Link.PIPE_ADD, Link.PIPE_REMOVE) and edge.target.peer == peer


def pack(items: Sequence[Item], peer: str, room: int = ROOM) -> tuple[tuple[str, ...], int]:
    """Return the tags that tell a peer's own edges, and how many are left out: pipes first, the last ones first."""
    ordered = sorted(items, key=_rank)
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


def _rank(item: Item) -> int:
    return 1 if isinstance(item, Hold) else 0 if item.link in BETWEEN_PEERS else 2


def _encode(items: Sequence[Item], peer: str, cut: int) -> str | None:
    """Return the text of all tags; None: nobody would unpack so much."""
    places = {peer: 0}

    def place(id: str) -> int:
        return places.setdefault(id, len(places))

    links: list[tuple[int, int]] = []
    holds: list[tuple[int, list[str]]] = []
    between: dict[tuple[int, str, int, str], list[tuple[bool, str, str, str]]] = {}
    for item in items:
        if isinstance(item, Hold):
            holds.append((place(item.owner), list(item.lacks)))
        elif item.link in BETWEEN_PEERS:
            links.append((_LINKS.index(item.link), place(item.target.peer)))
        else:
            link, a, b, label = item
            ends = place(a.peer), a.machine, place(b.peer), b.machine
            between.setdefault(ends, []).append((link is Link.PIPE_REMOVE, a.state, b.state, label))
    shapes: dict[Shape, int] = {}
    pipes = [(*ends, shapes.setdefault(tuple(shape), len(shapes))) for ends, shape in between.items()]
    told = _Told(VERSION, list(places), links, holds, [list(shape) for shape in shapes], pipes, cut)
    packed = msgspec.msgpack.encode(told)
    if len(packed) > MAX_UNPACKED:
        return None
    return b2a_base64(zlib.compress(packed), newline=False).decode()  # base85 would be a hundred times slower


def unpack(tags: Sequence[str], peer: str) -> Heard:
    """Return what the tags of a peer's machine say.

    Raises:
        ValueError: they are not such tags.
    """
    told = _decode("".join(tags))
    if not told.peers or told.peers[0] != peer:
        raise ValueError("it is of another peer")
    places = [at for _, at in told.links] + [at for at, _ in told.holds]
    places += [at for pipe in told.pipes for at in (pipe[0], pipe[2])]
    if not all(0 <= at < len(told.peers) for at in places):
        raise ValueError("it names a peer that it does not list")
    if not all(0 <= kind < len(_LINKS) for kind, _ in told.links):
        raise ValueError("it has a link of a kind that is not known")
    if not all(0 <= pipe[4] < len(told.shapes) for pipe in told.pipes):
        raise ValueError("it has a pipe of a shape that it does not list")
    if sum(len(told.shapes[pipe[4]]) for pipe in told.pipes) > MAX_UNPACKED // 8:  # a few bytes may stand for many
        raise ValueError("it has more pipes than it may")
    edges = [EdgeKey(_LINKS[kind], peer_vertex(peer), peer_vertex(told.peers[at])) for kind, at in told.links]
    for a, machine, b, other, shape in told.pipes:
        for removes, state, its_state, label in told.shapes[shape]:
            link = Link.PIPE_REMOVE if removes else Link.PIPE_ADD
            ends = _end(machine, state, told.peers[a]), _end(other, its_state, told.peers[b])
            edges.append(EdgeKey(link, *ends, label))
    own = tuple(dict.fromkeys(edge for edge in edges if is_own(edge, peer)))
    holds = [Hold(told.peers[at], tuple(lacks)) for at, lacks in told.holds]
    others = tuple({hold.owner: hold for hold in holds if hold.owner != peer}.values())
    return Heard(own, others, told.cut, len(edges) - len(own) + len(holds) - len(others))


def _decode(text: str) -> _Told:
    if len(text) > MAX_ROOM + TAG:
        raise ValueError(f"{len(text)} bytes are more than {MAX_ROOM}")
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(a2b_base64(text, strict_mode=True), MAX_UNPACKED)
        if not unpacker.eof:
            raise ValueError(f"it is more than {MAX_UNPACKED} bytes, or less than was sent")
        version = msgspec.msgpack.decode(data, type=_Version).version
        if version != VERSION:
            raise ValueError(f"it is of version {version}, this program knows {VERSION}")
        return msgspec.msgpack.decode(data, type=_Told)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"it cannot be unpacked: {error}") from None


def _end(machine: str, state: str, peer: str) -> Vertex:
    return state_vertex(machine, state, peer) if state else machine_vertex(machine, peer)
