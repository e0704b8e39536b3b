"""Where peers are: multiaddrs of libp2p, and who a peer is by its libp2p id.

A libp2p id of an Ed25519 key is the key behind six fixed bytes. So the owner of a peer is read off its id, which noise
has proven, and the id off the owner.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from libp2p.peer.id import ID
from multiaddr import Multiaddr

from pubsub.identity import KEY_BYTES
from pubsub.transport.errors import AddressError

# identity multihash of 36 bytes, around a protobuf: key type 1 (Ed25519), data of 32 bytes
_PREFIX: Final = bytes((0x00, 0x24, 0x08, 0x01, 0x12, 0x20))
_HOSTS: Final = ("ip4", "ip6", "dns", "dns4", "dns6")
_EXAMPLE: Final = "/ip4/127.0.0.1/tcp/4001"


def id_of(owner: bytes) -> ID:
    """Return the libp2p id of an owner's key."""
    return ID(_PREFIX + owner)


def owner_of(peer: ID) -> bytes | None:
    """Return the key that a libp2p id is made from; None if it is no Ed25519 key."""
    raw = peer.to_bytes()
    return raw[len(_PREFIX) :] if raw.startswith(_PREFIX) and len(raw) == len(_PREFIX) + KEY_BYTES else None


def parse_listen(text: str) -> Multiaddr:
    """Return where to listen.

    Raises:
        AddressError: it is no TCP address.
    """
    address, names = _parse(text)
    if names not in (["ip4", "tcp"], ["ip6", "tcp"]):
        raise AddressError(f"cannot listen on {text!r}: give an IP address and a TCP port, such as {_EXAMPLE}")
    return address


def parse_peer(text: str) -> tuple[bytes, Multiaddr]:
    """Return who an address leads to, and the address without that.

    Raises:
        AddressError: it is no TCP address, or does not say whose.
    """
    address, names = _parse(text)
    if not _is_tcp(names):
        raise AddressError(f"cannot dial {text!r}: only TCP is spoken here, as in {_EXAMPLE}/p2p/12D3…")
    if len(names) == 2:
        raise AddressError(
            f"{text!r} does not say whose address it is: add /p2p/ and the peer's id, as in its own list of addresses"
        )
    named = address.value_for_protocol("p2p")
    owner = owner_of(ID.from_string(str(named)))
    if owner is None:
        raise AddressError(f"the peer of {text!r} has no Ed25519 key: its id would begin with 12D3")
    _check_reachable(text, address, names[0])
    return owner, address.decapsulate(Multiaddr(f"/p2p/{named}"))


def parse_announced(text: str, owner: bytes) -> str:
    """Return an address that a peer tells others, as `full` does. It may say who is there, or leave that out.

    Raises:
        AddressError: it is none where others could dial this peer.
    """
    address, names = _parse(text)
    if not _is_tcp(names):
        raise AddressError(f"cannot announce {text!r}: give a host and a TCP port, such as /ip4/203.0.113.7/tcp/4001")
    _check_reachable(text, address, names[0])
    told = full(address, owner)
    if len(names) > 2 and Multiaddr(told) != address:
        raise AddressError(f"cannot announce {text!r}: it is the address of another peer; leave out /p2p/…")
    return told


def _is_tcp(names: list[str]) -> bool:
    return names[:1] != [] and names[0] in _HOSTS and names[1:] in (["tcp"], ["tcp", "p2p"])


def _check_reachable(text: str, address: Multiaddr, kind: str) -> None:
    if address.value_for_protocol("tcp") == "0":
        raise AddressError(f"{text!r} has port 0, where nobody listens: give the port that the peer has")
    if kind in ("ip4", "ip6"):
        ip = ipaddress.ip_address(str(address.value_for_protocol(kind)))
        if ip.is_unspecified or ip.is_multicast:
            raise AddressError(f"{text!r} is the address of no computer: give one that others can reach")


def full(address: Multiaddr, owner: bytes) -> str:
    """Return an address with who is there, as text."""
    bare = str(address).partition("/p2p/")[0]
    return f"{bare}/p2p/{id_of(owner).to_base58()}"


def _parse(text: str) -> tuple[Multiaddr, list[str]]:
    try:
        address = Multiaddr(text)
        names = [protocol.name for protocol in address.protocols()]
    except Exception as error:  # the parser raises a dozen kinds
        raise AddressError(f"{text!r} is no multiaddr: {error}. One looks like {_EXAMPLE}/p2p/12D3…") from error
    if not names:
        raise AddressError(f"{text!r} is no multiaddr. One looks like {_EXAMPLE}/p2p/12D3…")
    return address, names
