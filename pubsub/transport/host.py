"""The libp2p host below a transport: what it offers, and what is kept from it.

Offered are TCP, noise and yamux, and nothing else. Nobody is dialled but by the transport, and once: libp2p would dial
all whose addresses it has heard of until there are half as many connections as it may have, whatever the least number
is set to (0.8.1). Who connects is not asked to identify himself, but who asks is answered. An error in a handler of a
stream is counted and ends that stream, where libp2p would end the host.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any, Final, cast

import libp2p
import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.host.basic_host import BasicHost
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection import swarm_connection
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.rcmgr import ResourceManager
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from multiaddr import Multiaddr

from pubsub.identity import Identity
from pubsub.transport.door import Door
from pubsub.transport.errors import ListenError
from pubsub.transport.muxer import Muxers
from pubsub.transport.wire import Noise, Tcp

LIBP2P: Final = "0.8.1"
MAX_CONNECTIONS: Final = 300

if version("libp2p") != LIBP2P:
    raise ImportError(f"libp2p {version('libp2p')} is installed; this reaches into {LIBP2P}, and knows no other")

# A library says nothing unless it is asked to. This one also writes to the root logger, which installs a handler there.
logging.getLogger("libp2p").addHandler(logging.NullHandler())
if vars(swarm_connection).get("logging") is not logging:
    raise ImportError("libp2p's connections log otherwise than they did")
vars(swarm_connection)["logging"] = logging.getLogger("libp2p.network.connection")


class NoConnector(AutoConnector):
    """Connects with nobody."""

    async def maybe_connect(self) -> None:
        """Connect with nobody."""

    def record_disconnect(self, peer_id: ID) -> None:
        """Remember nobody: there would be ever more."""


def make_host(
    identity: Identity, admit: Callable[[ID, bool], bool], fault: Callable[[], None], door: Door
) -> BasicHost:
    """Return a host that does not listen yet.

    Args:
        identity: whose host it is.
        admit: tells whether a peer may connect: its id, and whether it dialled.
        fault: is called for each error in a handler of a stream.
        door: lets in who connects, before it has proven anything.
    """
    pair = create_new_key_pair(identity.seed)
    config = ConnectionConfig(
        max_connections=MAX_CONNECTIONS,
        high_watermark=MAX_CONNECTIONS,
        min_connections=0,
        low_watermark=0,
        inbound_upgrade_timeout=5.0,
        outbound_upgrade_timeout=5.0,
        inbound_stream_protocol_negotiation_timeout=5.0,
        outbound_stream_protocol_negotiation_timeout=5.0,
    )
    host = libp2p.new_host(
        key_pair=pair,
        sec_opt={NOISE: Noise(pair, admit)},
        transports=[Tcp(door)],
        connection_config=config,
        # A `Door` has the limits. That of libp2p on a peer's rate remembers each that ever came, and when somebody
        # exhausts the others, it lowers them for all.
        resource_manager=ResourceManager(
            enable_rate_limiting=False, enable_circuit_breaker=False, enable_graceful_degradation=False
        ),
        disable_identify_address_discovery=True,
    )
    assert isinstance(host, BasicHost)
    swarm = swarm_of(host)
    swarm.upgrader.muxer_multistream = Muxers()
    swarm.auto_connector = NoConnector(swarm)
    swarm.retry_config = RetryConfig(max_retries=0)
    for notifee in [n for n in swarm.notifees if type(n).__name__ == "_IdentifyNotifee"]:
        swarm.remove_notifee(notifee)
    handle = swarm.common_stream_handler

    async def handle_safely(stream: INetStream) -> None:
        try:
            await handle(stream)
        except Exception:  # whatever a remote peer can make it raise
            fault()
            await stream.reset()

    swarm.set_stream_handler(handle_safely)
    return host


def swarm_of(host: BasicHost) -> Swarm:
    """Return the network of a host."""
    return cast(Swarm, host.get_network())


async def check_free(addresses: Iterable[Multiaddr]) -> None:
    """Make sure that nobody listens there: libp2p shares a port with who has it, and says nothing (0.8.1).

    Raises:
        ListenError: somebody does, or this peer cannot listen there for another reason.
    """
    for address in addresses:
        family = trio.socket.AF_INET if address.protocols()[0].name == "ip4" else trio.socket.AF_INET6
        place = (str(address.value_for_protocol(address.protocols()[0].name)), int(address.value_for_protocol("tcp")))
        with trio.socket.socket(family) as probe:
            probe.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
            try:
                await probe.bind(place)
            except OSError as error:
                raise ListenError(f"cannot listen on {address}: {error.strerror}. Give another, or port 0") from error


def abort_all(swarm: Swarm) -> None:
    """Close the sockets of all connections at once."""
    for connection in swarm.get_connections():
        muxed: Any = connection.muxed_conn
        muxed.wire.abort()
