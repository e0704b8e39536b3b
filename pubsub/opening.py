"""Opening a peer: from a key file, addresses and a topic to a `Peer` that runs."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import trio

from pubsub.announcement import worth_telling
from pubsub.boundary import Host
from pubsub.core import Core
from pubsub.identity import SEED_BYTES, Domain, Identity
from pubsub.keys import FileDisk, NoDisk, locked, read_identity
from pubsub.logs import Log
from pubsub.names import owner_of
from pubsub.neighbours import Addressed
from pubsub.parameters import Parameters
from pubsub.peer import Peer
from pubsub.transport.contract import Transport
from pubsub.transport.errors import TransportError


def wall_ms() -> int:
    """Return the time of this computer, ms since 1970."""
    return time.time_ns() // 1_000_000


OpenTransport = Callable[[Identity, Domain], AbstractAsyncContextManager[Transport[bytes]]]


@asynccontextmanager
async def open_peer(
    topic: str,
    *,
    key_file: str | Path | None = None,
    listen: Collection[str] = ("/ip4/127.0.0.1/tcp/0",),
    connect: Collection[str] = (),
    announce: Collection[str] = (),
    allow: Collection[str | bytes] | None = None,
    topic_key: bytes = b"",
    mdns: bool = False,
    is_guest: bool = False,
    parameters: Parameters | None = None,
    log: Log | None = None,
    notify: Callable[[object], object] | None = None,
    transport: OpenTransport | None = None,
    wall: Callable[[], int] = wall_ms,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
) -> AsyncIterator[Peer]:
    """Open a peer, and let it run for as long as the block lasts.

    Args:
        topic: only peers of one topic talk to each other.
        key_file: who this peer is; made if it is not there. None: somebody new, for this once.
        listen: addresses, as libp2p writes them; a port of 0 is any free one. None at all: others cannot dial.
        connect: addresses of peers to begin with, each with a peer id. One that is down is tried again and again.
        announce: addresses to tell others instead of those it listens on, where these are of no use to them: behind a
            router that forwards a port. At most 8, names (/dns4/…) among them; a peer id may be left out.
        allow: peer ids of the owners whose records count, and who may connect; None: anybody who knows the topic.
        topic_key: a secret of up to 64 bytes that all peers of the topic share; empty: none.
        mdns: whether peers of the topic on the same local network find each other, without `connect`.
        is_guest: whether it says nothing of itself, not even where it is: then it is no member, and nobody misses it
            afterwards. It is one from the first machine on that it exposes.
        parameters: what can be tuned.
        log: serves the logs of this peer's machines.
        notify: is told each event of the protocol; it must not wait.
        wall: the wall clock, ms since 1970; it stamps what this peer says.
        transport: opens another transport than libp2p; for tests, and many peers in one process.
        entropy: where its key comes from, if it has no file, and its chances; in tests, from a seed.

    Raises:
        IdentityError: the key file, a peer id, the topic or its key cannot be used, or the key is in use already.
        TransportError: an address cannot be used. Says which, and why.
    """
    path = None if key_file is None else Path(key_file)
    identity = Identity(entropy(SEED_BYTES)) if path is None else read_identity(path)
    domain = Domain(topic, topic_key)
    allowed = None if allow is None else frozenset([identity.owner, *map(owner_of, allow)])
    rng = random.Random(entropy(8))
    host = Host(
        random=rng,
        wall=wall,
        disk=NoDisk() if path is None else FileDisk(path),
    )
    settings = parameters or Parameters()
    if transport is not None:
        if announce:
            raise TransportError("announce= is for peers on libp2p: this transport tells nobody an address")
        opened = transport(identity, domain)
    else:
        opened = _libp2p(identity, domain, listen, announce, allowed, settings)
    with nullcontext() if path is None else locked(path):
        async with opened as carrier:
            core: Core[bytes] = Core(
                host, identity, domain, parameters=settings, allowed=allowed, owner_of=lambda neighbour: neighbour
            )
            peer = Peer(core, carrier, log=log, notify=notify, rng=rng)
            known = _learn_all(carrier, connect)
            if mdns and not isinstance(carrier, Addressed):
                raise TransportError("this transport finds nobody by an address, so mDNS is of no use to it")
            if not is_guest:
                told = [] if announce else worth_telling(peer.addresses)  # names are not among these
                peer.introduce(told or peer.addresses)
            async with trio.open_nursery() as nursery:
                await nursery.start(peer.run, known)
                if mdns:
                    from pubsub.mdns import discover  # brings asyncio with it

                    # on the local network it is of no use how one gets into that
                    near = getattr(carrier, "listening", peer.addresses)
                    nursery.start_soon(discover, identity.owner, domain, near, peer.found, peer.mdns)
                try:
                    yield peer
                finally:
                    with trio.CancelScope(shield=True):
                        await peer.stop()
                    nursery.cancel_scope.cancel()


def _learn_all(carrier: Transport[bytes], addresses: Collection[str]) -> list[bytes]:
    if addresses and not isinstance(carrier, Addressed):
        raise TransportError(f"this transport finds nobody by an address such as {next(iter(addresses))!r}")
    return [carrier.learn(address) for address in addresses if isinstance(carrier, Addressed)]


def _libp2p(
    identity: Identity,
    domain: Domain,
    listen: Collection[str],
    announce: Collection[str],
    allowed: frozenset[bytes] | None,
    parameters: Parameters,
) -> AbstractAsyncContextManager[Transport[bytes]]:
    from pubsub.transport.libp2p import open_libp2p  # a second to import: only for whoever uses it

    return open_libp2p(
        identity,
        listen=tuple(listen),
        announce=tuple(announce),
        topic=domain,
        gossip=parameters.eager,
        is_allowed=lambda owner: allowed is None or owner in allowed,
    )
