"""What can go wrong on libp2p, done to our transport: each is counted or told, and harms nobody else.

Time is real here. Where a test waits, it waits for what is to come.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import libp2p
import pytest
import trio
import trio.lowlevel
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.secp256k1 import create_new_key_pair as create_secp256k1
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.utils import encode_varint_prefixed
from libp2p.utils.address_validation import is_ipv6_available
from multiaddr import Multiaddr

from pubsub import Domain, Identity
from pubsub.boundary import LINK, SYNC, Message
from pubsub.codec import encode
from pubsub.messages import Frame, Summary
from pubsub.transport import AddressError, ConnectionLost, DialError, ListenError, Overrun, TransportError
from pubsub.transport.addresses import id_of
from pubsub.transport.framing import frame
from pubsub.transport.gossipsub import MESHSUB, Gossip, topic_name
from pubsub.transport.libp2p import Libp2pTransport, open_libp2p
from pubsub.transport.line import JOIN, Line
from pubsub.transport.meeting import PROTOCOL
from tests.pubsub.transports import PATIENCE, parcels, until

HOME = Domain("home")
CHANCE = random.Random(20130207)  # what is random is the same in every run


def identity(name: str) -> Identity:
    return Identity(name.encode().ljust(32, b"."))


def opened(name: str, **options: Any) -> Any:
    return open_libp2p(identity(name), **{"topic": HOME, "gossip": False, **options})


async def connect(left: Libp2pTransport, right: Libp2pTransport) -> tuple[Line, Line]:
    left.learn(right.addresses[0])
    ours = await left.dial(right.peer)
    return ours, await right.accept()


async def check_well(left: Libp2pTransport, right: Libp2pTransport) -> None:
    """Make sure that two peers can have a connection, and talk."""
    with trio.fail_after(PATIENCE):
        left.learn(right.addresses[0])
        known = left.dial(right.peer)
        ours = await known
        ours.send(LINK, 0, Frame((), 77))
        await ours.room()
        theirs = await right.dial(left.peer)
        while (await theirs.receive())[2] != Frame((), 77):
            pass


async def meshed(transport: Libp2pTransport) -> Gossip:
    """Wait until a peer knows of another one that wants the topic."""
    gossip = transport.gossip
    assert gossip is not None
    await until(lambda: gossip.peer_topics)
    return gossip


# -- a peer that is not ours: libp2p as it comes


def stranger(*, pair: Any = None, **options: Any) -> BasicHost:
    """Return a host as an attacker has it: with our protocols below, unless the options say otherwise."""
    pair = pair or create_new_key_pair(random.randbytes(32))
    noise = NoiseTransport(pair, noise_privkey=create_x25519().private_key)
    host = libp2p.new_host(key_pair=pair, **{"sec_opt": {NOISE: noise}, **options})
    assert isinstance(host, BasicHost)
    return host


@asynccontextmanager
async def running(host: BasicHost) -> AsyncIterator[BasicHost]:
    async with host.run([]):
        try:
            yield host
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(2):
                await host.close()


async def reach(host: BasicHost, target: Libp2pTransport, protocol: TProtocol) -> Any:
    """Connect a strange host, and open a stream."""
    info = info_from_p2p_addr(Multiaddr(target.addresses[0]))
    with trio.fail_after(PATIENCE):
        await host.connect(info)
        return await host.new_stream(info.peer_id, [protocol])


async def is_hung_up(stream: Any) -> bool:
    """Wait until the other side of a stream has ended it."""
    with trio.move_on_after(PATIENCE):
        try:
            while True:
                await stream.read(1000)
        except Exception:  # noqa: BLE001 - libp2p has many for it
            return True
    return False


# -- garbage


@pytest.mark.parametrize(
    "said",
    [
        b"",
        CHANCE.randbytes(300),
        b"\xff" * 100,
        frame(0, 0, b"\x01" + bytes(40)),
        frame(LINK, 0, b"\x01\x00\x00\x00\x00\x00"),
        frame(0, 1, b""),
    ],
    ids=["nothing", "random", "a long length", "another topic", "a message before the hello", "a question before it"],
)
async def test_who_says_no_good_hello_is_hung_up_on_and_told_nothing(said: bytes) -> None:
    async with opened("a", patience=2.0) as target, running(stranger()) as host:
        stream = await reach(host, target, PROTOCOL)
        if said:
            await stream.write(said)
        assert await is_hung_up(stream)
        counts = target.statistics()
        assert counts.bytes_sent == counts.accepted == counts.faults == 0
        assert counts.silent + counts.strangers + counts.garbled == 1
        async with opened("b") as other:
            await check_well(other, target)


async def test_bytes_that_are_no_message_end_their_connection_and_no_other() -> None:
    async with opened("a") as target, opened("b") as bad, opened("c") as good:
        ours, theirs = await connect(bad, target)
        well, _ = await connect(good, target)
        ours._post(frame(SYNC, 1, b"\x02\xff\xff"))
        with pytest.raises(ConnectionLost):
            await theirs.receive()
        with pytest.raises(ConnectionLost):
            await ours.receive()
        assert target.statistics().garbled == 1
        assert not well.over


async def test_a_peer_that_goes_in_the_middle_of_a_message_is_lost_with_it() -> None:
    async with opened("a") as target, opened("b") as other:
        ours, theirs = await connect(other, target)
        whole = frame(SYNC, 1, encode(Summary((1,) * 1024)))
        ours._post(whole + whole[: len(whole) // 2])
        assert await theirs.receive() == (SYNC, 1, Summary((1,) * 1024))
        ours.close()
        with pytest.raises(ConnectionLost):
            await theirs.receive()
        assert target.statistics().garbled == 0
        await check_well(other, target)


async def test_what_a_full_socket_does_not_take_at_once_is_neither_lost_nor_out_of_order() -> None:
    async with opened("a") as left, opened("b") as right:
        ours, theirs = await connect(left, right)
        for end in (ours, theirs):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.muxed.wire._stream.setsockopt(socket.SOL_SOCKET, option, 4096)
        rest = 0
        for number in range(200):  # nobody reads in the meantime
            ours.send(SYNC, 1, Summary((number,) * 256))
            rest = max(rest, len(ours.muxed.wire.rest))
            began = trio.current_time()
            while trio.current_time() < began + 2 * JOIN:
                pass
        assert rest
        for number in range(200):
            assert await theirs.receive() == (SYNC, 1, Summary((number,) * 256))


async def test_more_than_there_is_room_for_ends_the_connection() -> None:
    async with opened("a") as target, opened("b") as bad:
        ours, theirs = await connect(bad, target)
        ours._stream.send_window = 10**9  # as somebody who does not heed the window
        for number in range(300):
            ours.send(SYNC, 1, Summary((number,) * 4096))
        await until(lambda: theirs.over)
        assert target.statistics().garbled + target.statistics().ended >= 1
        async with opened("c") as good:
            await check_well(good, target)


@pytest.mark.parametrize(
    "data", [CHANCE.randbytes(300), b"GET / HTTP/1.1\r\n\r\n", b""], ids=["random", "http", "nothing"]
)
async def test_garbage_on_the_port_harms_nobody(data: bytes) -> None:
    async with opened("a") as target, opened("b") as other:
        port = int(target.addresses[0].split("/")[4])
        for _ in range(5):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(data)
            await stream.aclose()
        await check_well(other, target)


async def test_a_broken_packet_of_noise_ends_its_connection_and_no_other() -> None:
    async with opened("a") as target, opened("b") as bad, opened("c") as good:
        ours, theirs = await connect(bad, target)
        await ours.muxed.wire.write(b"\x00\x20" + random.randbytes(32))
        with pytest.raises(ConnectionLost):
            await theirs.receive()
        await check_well(good, target)


async def test_many_streams_end_a_connection() -> None:
    async with opened("a") as target, running(stranger()) as host:
        await reach(host, target, TProtocol("/ipfs/ping/1.0.0"))
        connection: Any = host.get_network().get_connections()[0]
        with trio.move_on_after(PATIENCE):
            try:
                for _ in range(100):
                    await connection.new_stream()
            except Exception:  # noqa: BLE001 - libp2p has many for a connection that broke
                pass
            await until(lambda: not target.host.get_network().get_connections())
        async with opened("b") as other:
            await check_well(other, target)


async def test_an_error_in_a_handler_of_libp2p_is_counted_and_ends_its_stream_only() -> None:
    async with opened("a") as target, running(stranger()) as host:

        async def fail(stream: Any) -> None:
            await stream.read(1)
            raise ValueError("a fault of libp2p")

        target.host.set_stream_handler(TProtocol("/fault"), fail)
        stream = await reach(host, target, TProtocol("/fault"))
        await stream.write(b"x")
        assert await is_hung_up(stream)
        await until(lambda: target.statistics().faults == 1)
        assert target.host.get_network().get_connections()


# -- garbage on the topic


def rpc(**parts: Any) -> bytes:
    return bytes(encode_varint_prefixed(rpc_pb2.RPC(**parts).SerializeToString()))


def said_on(topic: str, **parts: Any) -> bytes:
    message = {"data": b"x", "topicIDs": [topic], "from_id": b"x", "seqno": b"1", "signature": b"s", **parts}
    return rpc(publish=[rpc_pb2.Message(**message)])


@pytest.mark.parametrize(
    "said",
    [
        encode_varint_prefixed(CHANCE.randbytes(300)),
        b"\xff" * 20,
        said_on(topic_name("home"), key=b"\x08\x09garbage"),
        said_on(topic_name("home"), from_id=b""),
        said_on(topic_name("home"), from_id=identity("a").owner, key=CHANCE.randbytes(40)),
        rpc(control=rpc_pb2.ControlMessage(ihave=[rpc_pb2.ControlIHave(topicID="?", messageIDs=[b"\xff"])])),
        rpc(senderRecord=CHANCE.randbytes(50)),
    ],
    ids=["random", "a long length", "a key that is none", "no sender", "another key", "control", "a record"],
)
async def test_garbage_on_the_topic_harms_nobody(said: bytes) -> None:
    heard: list[Message] = []
    async with opened("a", gossip=True) as target, opened("b", gossip=True) as good, running(stranger()) as host:
        target.subscribe(lambda peer, message: not heard.append(message))  # type: ignore[func-returns-value]
        await connect(good, target)
        stream = await reach(host, target, MESHSUB)
        for _ in range(3):
            try:
                await stream.write(said)
            except Exception:  # noqa: BLE001 - it may have been reset already
                break
        parcel = parcels(HOME)()
        await meshed(good)
        good.publish(parcel)
        await until(lambda: heard == [parcel])


async def test_what_is_no_message_on_the_topic_is_refused_and_counted() -> None:
    heard: list[Message] = []
    async with opened("a", gossip=True) as target, opened("b", gossip=True) as bad:
        target.subscribe(lambda peer, message: not heard.append(message))  # type: ignore[func-returns-value]
        await connect(bad, target)
        gossip = await meshed(bad)
        gossip.say(b"\xff")
        gossip.say(encode(parcels(HOME)()) + b"\x00")
        await until(lambda: target.statistics().undecodable == 2)
        assert not heard


async def test_a_burst_on_the_topic_arrives_whole_in_spite_of_the_limits_of_libp2p() -> None:
    heard: list[Message] = []
    make = parcels(HOME)
    async with opened("a", gossip=True) as target, opened("b", gossip=True) as source:
        target.subscribe(lambda peer, message: not heard.append(message))  # type: ignore[func-returns-value]
        await connect(source, target)
        await meshed(source)
        said = [make() for _ in range(200)]  # 32 wait for a peer, and 10 a second pass, in libp2p as it comes
        for parcel in said:
            source.publish(parcel)
        await until(lambda: len(heard) == 200)
        assert source.statistics().published == 200
        assert source.statistics().unpublished == 0


async def test_a_peer_that_comes_back_at_once_is_heard_on_the_topic() -> None:
    heard: list[Message] = []
    make = parcels(HOME)
    async with opened("a", gossip=True) as target:
        target.subscribe(lambda peer, message: not heard.append(message))  # type: ignore[func-returns-value]
        for life in (1, 2):
            async with opened("b", gossip=True) as source:
                _, theirs = await connect(source, target)
                await meshed(source)
                for _ in range(20):
                    source.publish(make())
                with trio.fail_after(PATIENCE):
                    while len(heard) < 20 * life:  # noqa: ASYNC110 - nobody rings an event for it
                        await trio.sleep(0.01)
            await theirs.ended.wait()


async def test_an_error_of_the_judge_is_ours_and_ends_the_transport() -> None:
    def judge(peer: bytes, message: Message) -> bool:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with opened("a", gossip=True) as target, opened("b", gossip=True) as source:
            target.subscribe(judge)
            await connect(source, target)
            await meshed(source)
            source.publish(parcels(HOME)())
            await trio.sleep(PATIENCE)


async def test_without_gossip_there_is_no_topic_and_no_thread() -> None:
    before = set(threading.enumerate())
    async with opened("a") as target, running(stranger()) as host:
        target.publish(parcels(HOME)())
        assert target.statistics().unpublished == 1
        with pytest.raises(Exception, match="failed to open a stream"):
            await reach(host, target, MESHSUB)
        assert set(threading.enumerate()) <= before  # idle threads of trio may end meanwhile


# -- who may connect


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Domain("home"), Domain("work")),
        (Domain("home", b"key"), Domain("home", b"another")),
        (Domain("home", b"key"), Domain("home")),
        (Domain("home"), Domain("home", b"key")),
    ],
    ids=["another topic", "another key", "no key here", "a key here"],
)
async def test_peers_of_another_topic_or_key_have_no_connection(ours: Domain, theirs: Domain) -> None:
    async with opened("a", topic=ours) as left, opened("b", topic=theirs) as right:
        left.learn(right.addresses[0])
        with pytest.raises(DialError):
            await left.dial(right.peer)
        assert right.statistics().strangers + right.statistics().garbled == 1
        assert right.statistics().bytes_sent == 0


async def test_peers_with_the_same_key_of_the_topic_have_one() -> None:
    async with opened("a", topic=Domain("home", b"key")) as left, opened("b", topic=Domain("home", b"key")) as right:
        await connect(left, right)


async def test_a_peer_that_is_not_allowed_gets_no_further_than_proving_who_it_is() -> None:
    allowed = {identity("b").owner}
    async with opened("a", is_allowed=allowed.__contains__) as target, opened("b") as good, opened("c") as bad:
        await connect(good, target)
        bad.learn(target.addresses[0])
        with pytest.raises(DialError):
            await bad.dial(target.peer)
        await until(lambda: target.statistics().refused == 1)
        target.learn(bad.addresses[0])
        with pytest.raises(DialError, match="may not connect"):
            await target.dial(bad.peer)
        assert target.statistics().refused == 2
        assert len(target.host.get_network().get_connections()) == 1


async def test_a_peer_whose_key_is_of_another_kind_is_refused() -> None:
    async with opened("a") as target, running(stranger(pair=create_secp256k1())) as host:
        with pytest.raises(Exception):  # noqa: B017, PT011 - libp2p's own
            await reach(host, target, PROTOCOL)
        await until(lambda: target.statistics().refused >= 1)


async def test_a_second_peer_with_the_same_key_is_refused_and_both_know() -> None:
    async with opened("a") as one, opened("a") as two:
        two.learn(one.addresses[0])
        with pytest.raises(DialError, match="dials itself"):
            await two.dial(one.peer)
    pair = create_new_key_pair(identity("a").seed)
    async with opened("a") as one, running(stranger(pair=pair)) as host:
        with pytest.raises(Exception):  # noqa: B017, PT011 - libp2p's own
            await reach(host, one, PROTOCOL)
        assert one.host.get_network().get_connections() == []


@pytest.mark.parametrize("what", ["plaintext", "mplex"])
async def test_nothing_but_noise_and_yamux_is_spoken(what: str) -> None:
    pair = create_new_key_pair(random.randbytes(32))
    options: dict[str, Any] = (
        {"sec_opt": {PLAINTEXT_PROTOCOL_ID: InsecureTransport(pair)}}
        if what == "plaintext"
        else {"muxer_opt": {MPLEX_PROTOCOL_ID: Mplex}, "muxer_preference": "MPLEX"}
    )
    async with opened("a") as target, running(stranger(pair=pair, **options)) as host:
        with pytest.raises(Exception):  # noqa: B017, PT011 - libp2p's own
            await reach(host, target, PROTOCOL)
        assert target.host.get_network().get_connections() == []


async def test_who_connects_and_says_nothing_is_hung_up_on() -> None:
    async with opened("a", patience=1.0) as target, running(stranger()) as host:
        await reach(host, target, TProtocol("/ipfs/ping/1.0.0"))
        await until(lambda: not target.host.get_network().get_connections())
        assert target.statistics().silent == 1


# -- connections that end, and begin again


async def test_the_end_of_a_stream_is_the_end_of_its_connection_at_both_ends() -> None:
    async with opened("a") as left, opened("b") as right:
        ours, theirs = await connect(left, right)
        await ours._stream.close()
        with pytest.raises(ConnectionLost):
            await theirs.receive()
        with pytest.raises(ConnectionLost):
            await ours.receive()
        await until(lambda: not left.host.get_network().get_connections())
        await until(lambda: not right.host.get_network().get_connections())


async def test_a_peer_can_be_dialled_as_soon_as_it_listens_whatever_failed_before() -> None:
    async with opened("a") as left:
        async with opened("b") as right:
            address = right.addresses[0]
        left.learn(address)
        with pytest.raises(DialError, match="refused"):
            await left.dial(right.peer)
        async with opened("b", listen=[address.partition("/p2p/")[0]]) as right:
            assert await left.dial(right.peer)


async def test_a_peer_that_comes_back_replaces_what_it_left_behind() -> None:
    async with opened("a") as left:
        async with opened("b") as right:
            address = right.addresses[0]
            ours, _ = await connect(left, right)
        with pytest.raises(ConnectionLost):
            await ours.receive()
        async with opened("b", listen=[address.partition("/p2p/")[0]]) as right:
            await check_well(left, right)
            await check_well(right, left)


@pytest.mark.parametrize("names", ["ab", "ba"])
async def test_a_connection_that_died_unnoticed_does_not_stand_in_the_way(names: str) -> None:
    async with opened(names[0]) as left, opened(names[1]) as right:
        ours, theirs = await connect(left, right)
        right.learn(left.addresses[0])
        # the far end forgets it without a word, as behind a link that is down
        right._meeting.lines.pop(left.peer)
        again = await right.dial(left.peer)
        assert ours.over
        assert left.statistics().replaced == 1
        newer = await left.accept()
        again.send(LINK, 0, Frame((), 5))
        assert await newer.receive() == (LINK, 0, Frame((), 5))
        theirs.close()


async def test_dials_that_cross_end_in_one_connection_each_time() -> None:
    async with opened("a") as left, opened("b") as right:
        left.learn(right.addresses[0])
        right.learn(left.addresses[0])
        for number in range(15):
            found: dict[bytes, Line] = {}

            async def dial(one: Libp2pTransport, other: Libp2pTransport, found: dict[bytes, Line], late: int) -> None:
                await trio.sleep(late * 0.002)
                found[one.peer] = await one.dial(other.peer)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(dial, left, right, found, number % 5)
                nursery.start_soon(dial, right, left, found, number // 5)
            ours, theirs = found[left.peer], found[right.peer]
            assert ours.dialed is not theirs.dialed
            ours.send(LINK, 0, Frame((), number))
            assert await theirs.receive() == (LINK, 0, Frame((), number))
            await until(lambda: len(left.host.get_network().get_connections()) == 1)
            ours.close()
            await theirs.ended.wait()


async def test_a_connection_leaves_nothing_behind_when_it_has_ended() -> None:
    async with opened("a") as left, opened("b") as right:
        swarm: Any = right.host.get_network()
        for _ in range(3):
            ours, _ = await connect(left, right)
            ours.close()
            await until(lambda: not swarm.get_connections() and not left.host.get_network().get_connections())
        await until(lambda: swarm._inbound_limiter.borrowed_tokens == 0)  # of which libp2p gives none back


async def test_libp2p_remembers_nobody_who_has_gone() -> None:
    async with opened("a") as target:

        async def come_and_go(name: str) -> list[Any]:
            async with opened(name, listen=[]) as other:
                await connect(other, target)
            remote = id_of(other.peer)
            return [remote, remote.to_bytes(), str(remote), f"peer:{remote}"]  # as libp2p's maps have them

        gone = [key for number in range(5) for key in await come_and_go(f"stranger {number}")]

        def remembering() -> list[object]:
            gc.collect()
            maps = [each for each in gc.get_objects() if isinstance(each, dict)]
            return [each for each in maps if any(key in each for key in gone)]

        await until(lambda: not remembering())


# -- a peer that stands still


async def send_for_ever(line: Line) -> None:
    while True:
        line.send(SYNC, 1, Summary((1,) * 4096))
        await trio.lowlevel.checkpoint()


FROZEN = """
import sys, trio
from pubsub import Domain, Identity
from pubsub.transport.libp2p import open_libp2p
async def main():
    gossip = sys.argv[1] == "True"
    async with open_libp2p(Identity(b"frozen".ljust(32)), topic=Domain("home"), gossip=gossip) as transport:
        print(transport.addresses[0], flush=True)
        while True:
            await (await transport.accept()).ended.wait()
trio.run(main)
"""


@pytest.mark.parametrize("gossip", [False, True])
async def test_a_frozen_peer_can_be_hung_up_on_and_holds_up_nothing(gossip: bool) -> None:
    command = [sys.executable, "-c", FROZEN, str(gossip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        try:
            address = await trio.to_thread.run_sync(process.stdout.readline)
            async with opened("a", backlog=1_000_000, gossip=gossip) as target, opened("b", gossip=gossip) as other:
                line = await target.dial(target.learn(address.strip()))
                process.send_signal(signal.SIGSTOP)
                with pytest.raises(Overrun):
                    await send_for_ever(line)
                await check_well(other, target)
                make = parcels(HOME)
                for _ in range(50 * gossip):
                    target.publish(make())
                line.close()
                with pytest.raises(ConnectionLost):
                    await line.receive()
                await until(lambda: len(target.host.get_network().get_connections()) == 1)
                with trio.move_on_after(0.2) as scope:  # the kernel takes the connection, nobody else does
                    await target.dial(line.peer)
                assert scope.cancelled_caught
                process.send_signal(signal.SIGCONT)
                assert await target.dial(line.peer)
                process.send_signal(signal.SIGSTOP)
                with trio.fail_after(PATIENCE):
                    await target.close()
        finally:
            process.kill()


# -- addresses


async def test_a_port_in_use_is_told_and_named() -> None:
    async with opened("a") as left:
        taken = left.addresses[0].partition("/p2p/")[0]
        with pytest.raises(ListenError, match=f"cannot listen on {taken}: Address already in use"):
            async with opened("b", listen=[taken]):
                pass
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"/ip4/127.0.0.1/tcp/{other.getsockname()[1]}"
        with pytest.raises(ListenError, match=taken):
            async with opened("b", listen=[taken]):
                pass
    with pytest.raises(ListenError, match=r"198\.51\.100\.7"):
        async with opened("b", listen=["/ip4/198.51.100.7/tcp/0"]):
            pass


async def test_a_peer_may_listen_on_several_addresses_or_on_none() -> None:
    async with opened("a", listen=["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.2/tcp/0"]) as left:
        assert len(left.addresses) == 2
        async with opened("b", listen=[]) as right:
            assert right.addresses == []
            await connect(right, left)


@pytest.mark.parametrize("place", ["/ip4/0.0.0.0/tcp/0", "/ip6/::1/tcp/0"])
async def test_every_address_that_a_peer_tells_can_be_dialled(place: str) -> None:
    if place.startswith("/ip6") and not is_ipv6_available():
        pytest.skip("no IPv6 here")
    async with opened("a", listen=[place]) as left:
        assert left.addresses
        for number, address in enumerate(left.addresses):
            assert "0.0.0.0" not in address
            async with opened(f"b{number}", listen=[]) as right:
                assert await right.dial(right.learn(address))
    assert left.addresses  # also when it has closed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no multiaddr"),
        ("localhost:4001", "is no multiaddr"),
        ("/ip4/300.0.0.1/tcp/1", "is no multiaddr"),
        ("/ip4/127.0.0.1/udp/4001/quic-v1", "only TCP"),
        ("/ip4/127.0.0.1", "only TCP"),
        ("/ip4/127.0.0.1/tcp/4001", "does not say whose"),
        ("/ip4/127.0.0.1/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "no Ed25519 key"),
    ],
)
async def test_an_address_that_is_none_is_told_with_the_way_out(text: str, says: str) -> None:
    async with opened("a", listen=[]) as transport:
        with pytest.raises(AddressError, match=says) as caught:
            transport.learn(text)
        assert repr(text) in str(caught.value)
        assert isinstance(caught.value, TransportError)
    with pytest.raises(AddressError):
        async with opened("a", listen=[text + "/ws"]):
            pass


async def test_addresses_are_remembered_newest_first_and_bounded() -> None:
    async with opened("a", listen=[]) as transport:
        peer = identity("b").owner
        assert transport.addresses_of(peer) == []
        async with opened("b") as other:
            tail = other.addresses[0].partition("/p2p/")[2]
            for port in (*range(1, 11), 5):
                assert transport.learn(f"/ip4/127.0.0.1/tcp/{port}/p2p/{tail}") == peer
        ports = [int(text.split("/")[4]) for text in transport.addresses_of(peer)]
        assert ports == [5, 10, 9, 8, 7, 6, 4, 3]
        with pytest.raises(DialError, match="no address of it is known"):
            await transport.dial(identity("c").owner)


# -- the end


async def leave_with_traffic(gossip: bool) -> None:
    async with trio.open_nursery() as nursery:

        async def talk(line: Line) -> None:
            try:
                while True:
                    line.send(SYNC, 1, Summary((1,) * 1024))
                    await line.receive()
            except ConnectionLost:
                pass

        async with (
            opened("a", gossip=gossip) as hub,
            opened("b", gossip=gossip) as one,
            opened("c", gossip=gossip) as two,
        ):
            for spoke in (one, two):
                for line in await connect(spoke, hub):
                    line.send(SYNC, 1, Summary((1,) * 1024))
                    nursery.start_soon(talk, line)
            make = parcels(HOME)
            for _ in range(10):
                one.publish(make())
            await trio.sleep(0.1)


@pytest.mark.parametrize("gossip", [False, True])
async def test_closing_with_traffic_leaks_no_task_no_thread_and_no_socket(gossip: bool) -> None:
    await leave_with_traffic(gossip)  # what is made once and for all
    tasks = trio.lowlevel.current_statistics().tasks_living
    threads, files = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
    with trio.fail_after(PATIENCE):
        await leave_with_traffic(gossip)
    await until(lambda: trio.lowlevel.current_statistics().tasks_living <= tasks)
    assert set(threading.enumerate()) <= threads
    await until(lambda: len(os.listdir("/proc/self/fd")) <= len(files))


async def test_a_transport_that_is_cancelled_closes_all_the_same() -> None:
    async with opened("a") as left:
        with trio.CancelScope() as scope:
            async with opened("b") as right:
                ours, _ = await connect(left, right)
                scope.cancel()
                await trio.sleep(PATIENCE)
        with pytest.raises(ConnectionLost):
            await ours.receive()
        with pytest.raises(DialError):
            await right.dial(left.peer)


async def test_an_error_inside_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened("a", gossip=True):
            raise ZeroDivisionError


async def test_libp2p_writes_to_nobodys_log() -> None:
    handlers = list(logging.getLogger().handlers)
    async with opened("a") as left, opened("b") as right:
        await connect(left, right)
    assert logging.getLogger().handlers == handlers
