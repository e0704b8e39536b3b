"""Announcements: what a peer says by mDNS, as bytes, and how that is read; see `pubsub.mdns`, which says and hears it.

Each peer is a service `<peer id>._asyncmachine._tcp.local.`; its TXT record holds

    topic=<32 hexadecimal digits>      blake2b-128 of the topic, with the MAC of its key if it has one
    a0=<address> … a7=<address>        full multiaddrs, with /p2p/<peer id>

Anybody on the network can say anything here. So it only tells whom to dial, and a connection proves who is there. Who
listens can try topic keys that are easy to guess on the digest.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from pubsub.errors import IdentityError, WireError
from pubsub.identity import Domain
from pubsub.names import owner_of

SERVICE: Final = "_asyncmachine._tcp.local."
MAX_ADDRESSES: Final = 8  # of one peer, as many as a transport keeps
MAX_ADDRESS: Final = 200  # characters; a string in a TXT record has at most 255 bytes

Properties = Mapping[bytes, bytes | None]


def digest_of(domain: Domain) -> str:
    """Return what stands for a topic and its key: 32 hexadecimal digits that only peers of it share."""
    return blake2b(domain.bind(b"mdns"), digest_size=16).hexdigest()


def worth_telling(addresses: Sequence[str]) -> list[str]:
    """Return which addresses to announce: those that others can reach; those on loopback if there are no others."""
    usable = [address for address in addresses if len(address) <= MAX_ADDRESS and ip_of(address) is not None]
    far = [address for address in usable if not ipaddress.ip_address(ip_of(address) or "").is_loopback]
    return (far or usable)[:MAX_ADDRESSES]


def ip_of(address: str) -> str | None:
    """Return the IP address that an address begins with; None: it is a name, or no address."""
    parts = address.split("/")
    if len(parts) < 3:
        return None
    try:
        return str(ipaddress.ip_address(parts[2]))
    except ValueError:
        return None


def properties_of(domain: Domain, addresses: Sequence[str]) -> dict[str, str]:
    """Return the contents of a TXT record."""
    return {"topic": digest_of(domain)} | {f"a{number}": address for number, address in enumerate(addresses)}


def read_announcement(name: str, properties: Properties, digest: str) -> tuple[bytes, list[str]] | None:
    """Return who announces itself, by public key, and its addresses; None: it is of another topic.

    Raises:
        WireError: the name is none of a peer, or the record is not what it should be.
    """
    label = name.removesuffix("." + SERVICE)
    try:
        owner = owner_of(label)
    except IdentityError as error:
        raise WireError(str(error)) from error
    topic = properties.get(b"topic")
    if topic is None or len(topic) != len(digest):
        raise WireError(f"{label} does not say of which topic it is")
    if topic != digest.encode():
        return None
    values = [properties.get(b"a%d" % number) for number in range(MAX_ADDRESSES)]
    addresses = [value.decode("ascii", "replace") for value in values if value]
    if not addresses or not all(_is_address(address, label) for address in addresses):
        raise WireError(f"{label} does not say where it is")
    return owner, addresses


def _is_address(address: str, peer_id: str) -> bool:
    return (
        len(address) <= MAX_ADDRESS
        and address.isascii()
        and address.isprintable()
        and address.startswith("/")
        and address.endswith("/p2p/" + peer_id)
    )


@dataclass(slots=True)
class MdnsCounts:
    """What was heard on the local network."""

    heard: int = 0
    """Announcements of peers of this topic."""
    other_topic: int = 0
    """Those of another topic, or with another key of it."""
    garbled: int = 0
    """Those that are not what they should be."""
    crowded: int = 0
    """What was dropped, as too many came at once, or too many peers wait to be dialled."""
    not_allowed: int = 0
    """Peers that are not on the list of a closed topic."""
    dialled: int = 0
    """Peers that were dialled for having been heard."""
