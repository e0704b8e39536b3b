"""Signed peer records of gossipsub: made once, and those of others not looked at.

libp2p puts the record of the sender, 200 bytes that say where it listens, into each message, and takes 0.5 ms on both
sides to make and check the same record again (0.8.1). Where a peer listens does not change here while it is open. What
others say of themselves in it nobody here uses; libp2p would dial them by it when it pleases.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from libp2p.abc import IHost
from libp2p.peer.id import ID
from libp2p.peer.peerstore import env_to_send_in_RPC
from libp2p.pubsub import gossipsub, pubsub
from libp2p.pubsub.pb.rpc_pb2 import RPC
from libp2p.pubsub.utils import maybe_consume_signed_record

_own: WeakKeyDictionary[IHost, bytes] = WeakKeyDictionary()


def own_record(host: IHost) -> tuple[bytes, bool]:
    """Return the record of a host that listens, and whether it is a new one."""
    record = _own.get(host)
    if record is not None:
        return record, False
    record, is_new = env_to_send_in_RPC(host)
    _own[host] = record
    return record, is_new


def pass_record(msg: RPC, host: IHost, peer_id: ID) -> bool:
    """Tell that a message may be read, whatever record it has: who sent it, noise has proven."""
    return True


def use_records() -> None:
    """Let libp2p's gossipsub use these. Again: nothing."""
    for module in (pubsub, gossipsub):
        names: dict[str, Any] = vars(module)
        for name, theirs, ours in (
            ("env_to_send_in_RPC", env_to_send_in_RPC, own_record),
            ("maybe_consume_signed_record", maybe_consume_signed_record, pass_record),
        ):
            if names.get(name) not in (theirs, ours):
                raise ImportError(f"{module.__name__} does not use {name} any more")
            names[name] = ours
