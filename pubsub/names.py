"""Names of peers for people: the peer id of libp2p, which holds the whole public key.

    peer id   base58 of: 00 (identity multihash), 24 (36 bytes follow), 08 01 (Ed25519), 12 20 (32 bytes), the key

The same as in the libp2p specification "Peer Ids and Keys"; all begin with 12D3KooW.
"""

from __future__ import annotations

from typing import Final

import base58

from pubsub.errors import IdentityError
from pubsub.identity import KEY_BYTES

INTERNAL: Final = "@"  # what the ids of machines begin with by which peers tell each other about themselves
_PREFIX = bytes((0x00, 0x24, 0x08, 0x01, 0x12, 0x20))


def peer_id_of(owner: bytes) -> str:
    """Return the peer id of an owner's public key, 32 bytes."""
    return base58.b58encode(_PREFIX + owner).decode()


def owner_of(name: str | bytes) -> bytes:
    """Return the public key (32 bytes) that a peer id, or the key itself, stands for.

    Raises:
        IdentityError: it is neither.
    """
    if isinstance(name, bytes):
        if len(name) == KEY_BYTES:
            return name
        raise IdentityError(f"a public key has {KEY_BYTES} bytes, this one has {len(name)}")
    try:
        data = base58.b58decode(name)
    except ValueError:
        data = b""
    if len(data) != len(_PREFIX) + KEY_BYTES or not data.startswith(_PREFIX):
        raise IdentityError(f"{name[:80]!r} is no peer id of an Ed25519 key: these begin with 12D3KooW")
    return data[len(_PREFIX) :]


def is_internal(machine: str) -> bool:
    """Tell whether a machine id is one of those in which peers tell about themselves; they are nobody's own."""
    return machine.startswith(INTERNAL)
