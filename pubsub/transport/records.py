"""Signed peer records of gossipsub, made and checked once.

libp2p puts the record of the sender, 200 bytes that say where it listens, into each message, and takes 0.5 ms on both
sides to make and check the same record again (0.8.1). Where a peer listens does not change here while it is open; and a
record that was good for a peer is good for it.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from libp2p.abc import IHost
from libp2p.peer.id import ID
from libp2p.peer.peerstore import env_to_send_in_RPC
from libp2p.pubsub import gossipsub, pubsub
from libp2p.pubsub.pb.rpc_pb2 import RPC
from libp2p.pubsub.utils import maybe_consume_signed_record

MAX_KNOWN: Final = 1024  # peers whose record is remembered

_own: WeakKeyDictionary[IHost, bytes] = WeakKeyDictionary()
_good: WeakKeyDictionary[IHost, dict[ID, bytes]] = WeakKeyDictionary()


def own_record(host: IHost) -> tuple[bytes, bool]:
    """Return the record of a host that listens, and whether it is a new one."""
    record = _own.get(host)
    if record is not None:
        return record, False
    record, is_new = env_to_send_in_RPC(host)
    _own[host] = record
    return record, is_new


def is_good_record(msg: RPC, host: IHost, peer_id: ID) -> bool:
    """Tell whether a message has the sender's record, or none."""
    if not msg.HasField("senderRecord"):
        return True
    good = _good.setdefault(host, {})
    if good.get(peer_id) == msg.senderRecord:
        return True
    if not maybe_consume_signed_record(msg, host, peer_id):
        return False
    if len(good) >= MAX_KNOWN:
        good.clear()
    good[peer_id] = msg.senderRecord
    return True


def use_records() -> None:
    """Let libp2p's gossipsub use these. Again: nothing."""
    for module in (pubsub, gossipsub):
        names: dict[str, Any] = vars(module)
        for name, theirs, ours in (
            ("env_to_send_in_RPC", env_to_send_in_RPC, own_record),
            ("maybe_consume_signed_record", maybe_consume_signed_record, is_good_record),
        ):
            if names.get(name) not in (theirs, ours):
                raise ImportError(f"{module.__name__} does not use {name} any more")
            names[name] = ours
