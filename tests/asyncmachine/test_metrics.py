"""Metrics: each counter once, under a good name; a server that is there at once, and gone at once."""

from __future__ import annotations

import re
import socket

import pytest
import trio
from prometheus_client import generate_latest

from asyncmachine.errors import ServeError
from asyncmachine.metrics import GAUGES, PeerCollector, make_registry
from asyncmachine.metrics_server import CLOSING, bind, serve_metrics
from machine import Machine, Schema, State
from pubsub.opening import open_peer

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_each_counter_of_a_peer_is_one_metric() -> None:
    async with open_peer("metrics", listen=()) as peer:
        await trio.lowlevel.checkpoint()
        counters = {(part, name): value for part, values in peer.statistics().items() for name, value in values.items()}
        found = [
            metric
            for metric in make_registry(PeerCollector(peer, "metrics", list)).collect()
            if metric.name.startswith("asyncmachine_peer_") and metric.name != "asyncmachine_peer_members"
        ]
    names = [metric.name for metric in found]
    assert len(set(names)) == len(names) == len(counters)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)
    assert {metric.name for metric in found if metric.type == "gauge"} == {
        "asyncmachine_peer_links",
        "asyncmachine_peer_ledger_owners",
        "asyncmachine_peer_addresses_known",
    }
    assert set(counters) >= GAUGES


async def test_states_of_machines_are_metrics_whatever_their_names() -> None:
    machine = Machine(Schema({"On": State(), "Naïve": State()}), id='a "b"\n')
    machine.add("Naïve")
    async with open_peer("metrics", listen=()) as peer:
        await trio.lowlevel.checkpoint()
        text = generate_latest(make_registry(PeerCollector(peer, "metrics", lambda: [machine]))).decode()
    assert 'asyncmachine_machine_state_active{machine="a \\"b\\"\\n",state="Naïve"} 1.0' in text
    assert 'asyncmachine_machine_ticks_total{machine="a \\"b\\"\\n",state="On"} 0.0' in text


@pytest.mark.parametrize(
    ("host", "form"), [("127.0.0.1", r"http://127\.0\.0\.1:\d+/metrics"), ("::1", r"http://\[::1\]:\d+/.*")]
)
async def test_a_reader_that_stays_does_not_hold_up_the_end(host: str, form: str) -> None:
    async with open_peer("metrics", listen=()) as peer:
        registry = make_registry(PeerCollector(peer, "metrics", list))
        try:
            bound = bind(host, 0)
        except ServeError:
            pytest.skip(f"{host} is none of this machine's addresses")
        port = bound.getsockname()[1]
        async with serve_metrics(bound, registry) as url:
            assert re.fullmatch(form, url)
            stream = await trio.open_tcp_stream(host, port)
            await stream.send_all(GET)
            assert (await stream.receive_some(15)).startswith(b"HTTP/1.1 200")
            idle = await trio.open_tcp_stream(host, port)
            began = trio.current_time()
        assert trio.current_time() - began < 4 * CLOSING + 60  # it would be for ever
        await stream.aclose()
        await idle.aclose()
    with pytest.raises(OSError, match=r"."):
        await trio.open_tcp_stream(host, port)


def test_a_port_in_use_is_told_before_anything_begins() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"on 127.0.0.1:{port}: Address already in use. Give another port, or 0"):
            bind("127.0.0.1", port)


def test_a_host_that_is_none_is_told() -> None:
    with pytest.raises(ServeError, match=r"cannot serve metrics on 192\.0\.2\.7:1: "):
        bind("192.0.2.7", 1)
