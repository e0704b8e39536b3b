"""What `peers.py` measures against: the same changes sent with libp2p's own gossipsub. No product code is in here.

python gossipsub.py PEERS RATE stock|tuned
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import trio

SECONDS = 10.0
TOPIC = "bench"
SIZE = 200  # bytes of a change, as JSON of eight states and a clock


def make(name: str, seed: int) -> tuple[Any, Any, Any]:
    from libp2p import new_host
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.custom_types import TProtocol
    from libp2p.network.config import ConnectionConfig
    from libp2p.pubsub.gossipsub import GossipSub
    from libp2p.pubsub.pubsub import Pubsub

    protocol = TProtocol("/meshsub/1.1.0")
    host = new_host(
        key_pair=create_new_key_pair(random.Random(seed).randbytes(32)),
        connection_config=ConnectionConfig(min_connections=0, low_watermark=0),
    )
    if name == "stock":
        router = GossipSub(protocols=[protocol], degree=6, degree_low=4, degree_high=12)
    else:
        router = GossipSub(
            protocols=[protocol],
            degree=4,
            degree_low=3,
            degree_high=8,
            heartbeat_interval=1,
            heartbeat_initial_delay=0.1,
            gossip_history=10,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
        )
        router.scorer = None
    service = Pubsub(host, router, strict_signing=True)
    if name == "tuned":
        service.counter = time.time_ns()
    return host, router, service


async def main(count: int, rate: float, name: str) -> None:
    from libp2p.peer.peerinfo import info_from_p2p_addr
    from libp2p.tools.anyio_service import background_trio_service
    from multiaddr import Multiaddr

    took: list[float] = []
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        nodes = [make(name, seed) for seed in range(count)]
        for host, router, service in nodes:
            await stack.enter_async_context(background_trio_service(service))
            await stack.enter_async_context(background_trio_service(router))
            await stack.enter_async_context(host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]))
            await service.wait_until_ready()

        async def read(subscription: Any) -> None:
            while True:
                message = await subscription.get()
                took.append(time.perf_counter() - json.loads(message.data)["at"])

        for number, (_, _, service) in enumerate(nodes):
            subscription = await service.subscribe(TOPIC)
            if number:
                nursery.start_soon(read, subscription)
        for number, (host, _, _) in enumerate(nodes[1:], 1):
            for other in {*random.Random(number).sample(range(number), min(3, number))}:
                address = nodes[other][0].get_addrs()[0]
                await host.connect(info_from_p2p_addr(address))
        await trio.sleep(4)
        took.clear()
        spent, began, made = time.process_time(), trio.current_time(), 0
        while trio.current_time() < began + SECONDS:
            body = json.dumps({"at": time.perf_counter(), "clock": "x" * (SIZE - 40)}).encode()
            await nodes[0][2].publish(TOPIC, body)
            made += 1
            await trio.sleep_until(began + made / rate)
        await trio.sleep(2)
        spent = time.process_time() - spent
        ordered = sorted(took)
        result = {
            "messages": made,
            "delivered": len(took),
            "lost": 100 * (1 - len(took) / (made * (count - 1))),
            "cpu": spent,
            "p50": ordered[len(ordered) // 2] * 1000 if ordered else 0.0,
            "p99": ordered[int(0.99 * len(ordered))] * 1000 if ordered else 0.0,
        }
        print(json.dumps(result), flush=True)
        os._exit(0)  # how it shuts down is not what is measured


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
