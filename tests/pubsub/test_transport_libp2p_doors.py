"""How a peer on libp2p is reached: by strangers, of whom not too many are let in; by names; by what it announces."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial

import pytest
import trio

from pubsub.neighbours import addresses_in
from pubsub.opening import open_peer
from pubsub.peer import Peer
from pubsub.transport import AddressError, DialError, TransportError
from pubsub.transport.door import AT_ONCE
from pubsub.transport.libp2p import Libp2pTransport, open_libp2p
from tests.ports import free_port
from tests.pubsub.test_transport_libp2p import HOME, check_well, identity, opened
from tests.pubsub.transports import PATIENCE, until


def port_of(address: str) -> int:
    return int(address.split("/")[4])


def knock(target: Libp2pTransport, source: str) -> socket.socket:
    """Connect as somebody who then says nothing."""
    return socket.create_connection(("127.0.0.1", port_of(target.addresses[0])), source_address=(source, 0))


async def test_strangers_who_say_nothing_leave_room_for_others_and_for_their_own_kind_when_they_go() -> None:
    async with opened("a") as target, opened("b") as good:
        with ExitStack() as stack:
            for _ in range(AT_ONCE):
                stack.enter_context(knock(target, "127.0.0.1"))
            late = stack.enter_context(knock(target, "127.0.0.1"))
            await until(lambda: target.statistics().crowded == 1)
            late.settimeout(PATIENCE)
            assert await trio.to_thread.run_sync(late.recv, 1) == b""  # hung up on, and nothing said
            good.learn(target.addresses[0])
            with pytest.raises(DialError):
                await good.dial(target.peer)
            stack.enter_context(knock(target, "127.0.0.2"))
            # the connection with `good` was refused as well, that from elsewhere was not
            await until(lambda: target.statistics().crowded == 2)
        await until(lambda: target.statistics().unproven == AT_ONCE + 1)
        await check_well(good, target)
        assert target.statistics().crowded == 2


async def test_fifty_peers_of_one_computer_come_in_at_once() -> None:
    async with opened("a") as target, AsyncExitStack() as stack:
        peers: list[Libp2pTransport] = [await stack.enter_async_context(opened(f"b{n}")) for n in range(50)]

        async def come(peer: Libp2pTransport) -> None:
            peer.learn(target.addresses[0])
            while True:
                with suppress(DialError):  # fifty handshakes may take longer than one may, where others are at work
                    await peer.dial(target.peer)
                    return

        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(come, peer)
        counts = target.statistics()
        assert counts.accepted >= 50
        assert (counts.crowded, counts.too_fast) == (0, 0)
        await target.close()  # else each of them closes its own connection in turn, which takes libp2p a while
        await until(lambda: not any(peer.host.get_network().get_connections() for peer in peers))


async def test_names_are_looked_up_as_this_computer_does() -> None:
    async with opened("a") as left, opened("b", listen=[]) as right:
        for number, kind in enumerate(("dns", "dns4")):
            address = left.addresses[0].replace("/ip4/127.0.0.1", f"/{kind}/localhost")
            line = await right.dial(right.learn(address))
            line.close()
            await until(lambda number=number: left.statistics().ended == number + 1)  # type: ignore[misc]
        async with opened("c", listen=[]) as lost:
            peer = lost.learn(left.addresses[0].replace("/ip4/127.0.0.1", "/dns4/nowhere.invalid"))
            with pytest.raises(DialError, match=r"nowhere\.invalid is not known"):
                await lost.dial(peer)


# -- what a peer announces


class Router:
    """Forwards a port, as a router does for a computer behind it."""

    def __init__(self, target: int) -> None:
        self.forwarded = 0
        self._target = target

    async def forward(self, outer: trio.SocketStream) -> None:
        self.forwarded += 1
        inner = await trio.open_tcp_stream("127.0.0.1", self._target)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, outer, inner)
            nursery.start_soon(self._pump, inner, outer)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            async for data in source:
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await sink.aclose()


def told_of(peer: Peer, owner: bytes) -> list[str]:
    """Return the addresses that a peer has heard of an owner."""
    state = peer._core.ledger.get(owner)
    return [] if state is None else addresses_in(state)


async def test_a_peer_behind_a_router_is_found_by_the_port_that_is_forwarded(nursery: trio.Nursery) -> None:
    inside = free_port()
    router = Router(inside)
    (outside,) = await nursery.start(partial(trio.serve_tcp, router.forward, 0, host="127.0.0.1"))
    public = f"/dns4/localhost/tcp/{outside.socket.getsockname()[1]}"
    async with (
        open_peer("nat", listen=[f"/ip4/127.0.0.1/tcp/{inside}"], announce=[public]) as behind,
        open_peer("nat", connect=behind.addresses) as hub,
        open_peer("nat", listen=[], connect=hub.addresses) as other,
    ):
        assert behind.addresses == [f"{public}/p2p/{behind.id}"]

        def is_neighbour() -> bool:
            return any(member.owner == behind.owner and member.connected for member in other.members())

        # which cannot be dialled itself, and has heard of that address by gossip only
        await until(is_neighbour)
        assert told_of(other, behind.owner) == behind.addresses
        assert router.forwarded >= 2
    nursery.cancel_scope.cancel()


async def test_loopback_is_told_to_others_only_where_there_is_nothing_else() -> None:
    async with opened("a", listen=["/ip4/0.0.0.0/tcp/0"]) as probe:
        far = probe.addresses[0].split("/")[2]
    if far.startswith("127."):
        pytest.skip("no interface but loopback here")
    places = ["/ip4/127.0.0.1/tcp/0", f"/ip4/{far}/tcp/0"]
    async with open_peer("far", listen=places) as one, open_peer("far", connect=one.addresses[:1]) as other:
        assert len(one.addresses) == 2
        await until(lambda: told_of(other, one.owner) and told_of(one, other.owner))
        assert told_of(other, one.owner) == [address for address in one.addresses if far in address]
        assert told_of(one, other.owner) == other.addresses


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("home.example:4001", "is no multiaddr"),
        ("/dns4/home.example", "give a host and a TCP port"),
        ("/ip4/203.0.113.7/udp/4001", "give a host and a TCP port"),
        ("/ip4/203.0.113.7/tcp/0", "port 0"),
        ("/ip4/0.0.0.0/tcp/4001", "the address of no computer"),
        ("/ip6/::/tcp/4001", "the address of no computer"),
        ("/ip4/224.0.0.1/tcp/4001", "the address of no computer"),
        ("/ip4/203.0.113.7/tcp/4001/p2p/12D3KooWCsMo2BRGiPBq18rsztzp41dYdRNENb61q9HELqaUaUAA", "of another peer"),
    ],
)
async def test_an_announcement_of_no_use_to_others_is_told_with_the_way_out(text: str, says: str) -> None:
    with pytest.raises(AddressError, match=says) as caught:
        async with open_peer("wrong", announce=[text]):
            pass
    assert repr(text) in str(caught.value)


async def test_no_more_is_announced_than_others_keep_and_only_on_libp2p() -> None:
    places = [f"/ip4/203.0.113.7/tcp/{port}" for port in range(1, 10)]
    with pytest.raises(AddressError, match="9 addresses to announce are too many"):
        async with open_peer("many", announce=places):
            pass
    with pytest.raises(TransportError, match="announce="):
        async with open_peer(
            "other", announce=places[:1], transport=lambda *_: open_libp2p(identity("a"), topic=HOME, gossip=False)
        ):
            pass


# -- what libp2p imports


def test_what_nobody_needs_is_not_loaded_and_is_there_for_whoever_does() -> None:
    program = """
import sys, trio
from pubsub.opening import open_peer

async def main():
    async with open_peer("light"):
        loaded = [name for name in ("httpx._client", "requests.sessions") if name in sys.modules]
        assert not loaded, loaded
    import httpx, requests
    from requests import Session
    assert "requests.sessions" in sys.modules and "httpx._client" not in sys.modules
    assert httpx.Client and requests.Session is Session
    import httpx as again
    assert again is httpx and type(httpx) is type(trio)
    try:
        httpx.nothing_of_this_name
    except AttributeError:
        print("good")

trio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "good\n", done.stderr


def test_a_module_inside_of_what_was_put_off_is_loaded_once_whoever_comes_first() -> None:
    program = """
import sys
import pubsub.transport
assert "requests.sessions" not in sys.modules
from requests.adapters import HTTPAdapter
import requests, requests.adapters, importlib
assert type(requests.Session().get_adapter("http://a")) is HTTPAdapter
assert sys.modules["requests.adapters"] is requests.adapters
assert requests.adapters.__spec__.origin.endswith("adapters.py")
importlib.reload(requests.adapters)
assert requests.adapters.HTTPAdapter is not HTTPAdapter
import httpx._exceptions, httpx
assert issubclass(httpx.ReadTimeout, httpx._exceptions.TimeoutException)
print("good")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "good\n", done.stderr
