"""The topic, by libp2p's gossipsub: set so that it loses nothing by itself, and kept from ending the host.

What libp2p does by default (0.8.1) and why it is set otherwise: it lets 10 messages a second of a topic through; it
looks after the mesh every two minutes; its scores of zero make it rebuild the mesh with each look; it begins to count
messages by the clock's seconds, so a peer that comes back soon repeats itself and is not heard; 32 messages wait for a
peer, beyond that they are dropped; versions after 1.1 tell everybody which messages not to send, which takes more than
to send ours. An error in what a peer sent ends the host; here it is counted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ValidationError
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.pubsub import pubsub as module
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.tools.anyio_service import background_trio_service

from pubsub.identity import APPLICATION
from pubsub.transport.addresses import owner_of
from pubsub.transport.records import use_records

MESHSUB: Final = TProtocol("/meshsub/1.1.0")
QUEUE: Final = 1024  # messages that wait for one peer, and that wait for being published
MAX_RPC: Final = 256 * 1024  # bytes
TIDY: Final = 60.0  # s
LOOK: Final = 1.0  # s between two looks at the mesh: as long as a heartbeat
_QUEUE_CLASS: Final = partial(RpcQueue, max_size=QUEUE)

Validate = Callable[[ID, bytes], bool]
"""Takes who passed on a message of somebody else, and the message; tells whether others are to have it."""


def topic_name(topic: str) -> str:
    """Return the name of a topic in gossipsub."""
    return f"/{APPLICATION}/{topic}"


class Gossip(Pubsub):
    """Gossipsub, for one topic.

    Args:
        host: the host, which does not run yet.
        topic: the topic.
        validate: is asked once about each message of somebody else.
        fault: is called for each error that would have ended the host.
    """

    def __init__(self, host: BasicHost, topic: str, validate: Validate, fault: Callable[[], None]) -> None:
        self.mesh_router = GossipSub(
            protocols=[MESHSUB],
            degree=4,
            degree_low=3,
            degree_high=8,
            heartbeat_interval=1,
            heartbeat_initial_delay=0.1,
            gossip_window=3,
            gossip_history=10,
            prune_back_off=10,
            unsubscribe_back_off=3,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
        )
        self.mesh_router.scorer = None
        self._name = topic_name(topic)
        super().__init__(
            host,
            self.mesh_router,
            strict_signing=True,
            max_inbound_rpc_size=MAX_RPC,
            allowed_topics={self._name},
        )
        self.counter = time.time_ns()
        self._validate = validate
        self._fault = fault
        self.changed_mesh: Callable[[bytes, bool], object] = lambda owner, is_in: None
        self.mesh: list[bytes] = []  # owners, by key, as of the last look
        self._outbox: deque[bytes] = deque()
        self._work = trio.lowlevel.ParkingLot()

    def say(self, data: bytes) -> bool:
        """Publish a message soon; tell whether there was room for it."""
        if len(self._outbox) >= QUEUE or any(len(queue) >= QUEUE for queue in self.peer_queues.values()):
            return False
        self._outbox.append(data)
        self._work.unpark()
        return True

    async def speak(self) -> None:
        """Publish what is said, for ever."""
        await self.subscribe(self._name)
        tidied = trio.current_time()
        while True:
            while self._outbox:
                await self.publish(self._name, self._outbox.popleft())
            with trio.move_on_at(tidied + TIDY):
                await self._work.park()
            if trio.current_time() >= tidied + TIDY:
                tidied = trio.current_time()
                self.mesh_router.recent_message_deliveries.clear()  # it only grows, also where nothing is published

    async def look_at_mesh(self) -> None:
        """Tell who comes into the mesh and who goes, for ever: it changes with each heartbeat, and when somebody asks.

        Looked at and not hooked into, as it is changed in a dozen places.
        """
        while True:
            found = map(owner_of, self.mesh_router.mesh.get(self._name, ()))
            before, self.mesh = self.mesh, sorted(owner for owner in found if owner is not None)
            for owner in before:
                if owner not in self.mesh:
                    self.changed_mesh(owner, False)
            for owner in self.mesh:
                if owner not in before:
                    self.changed_mesh(owner, True)
            await trio.sleep(LOOK)

    # -- of Pubsub

    async def stream_handler(self, stream: INetStream) -> None:
        """Read what a peer says; garbage ends its stream, and nothing else."""
        try:
            await super().stream_handler(stream)
        except Exception:
            self._fault()
            await stream.reset()

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Take a message; one that libp2p cannot read is counted."""
        try:
            await super().push_msg(msg_forwarder, msg)
        except Exception:
            self._fault()

    async def validate_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Ask about a message, once."""
        if msg_forwarder == self.my_id:
            return
        if self._name in msg.topicIDs and ID(msg.from_id) != self.my_id and self._validate(msg_forwarder, msg.data):
            return
        self._mark_msg_seen(msg)
        raise ValidationError("not good")

    def notify_subscriptions(self, publish_message: rpc_pb2.Message) -> None:
        """Put nothing into a queue: who validated it has it."""


@asynccontextmanager
async def gossiping(gossip: Gossip) -> AsyncIterator[None]:
    """Run gossipsub. Its host is to run within, so that it ends before.

    From the first use on, all gossipsub of this process has our queues and records.
    """
    use_records()
    if vars(module).get("RpcQueue") not in (RpcQueue, _QUEUE_CLASS):
        raise ImportError("libp2p's gossipsub has other queues than it had")
    vars(module)["RpcQueue"] = _QUEUE_CLASS
    try:
        async with background_trio_service(gossip), background_trio_service(gossip.mesh_router):
            yield
    finally:
        gossip.seen_messages.stop()  # its thread
