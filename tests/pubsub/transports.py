"""What the tests of transports share: messages to send, and ways to wait."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import trio

from machine import Machine, Schema, State
from pubsub import Domain, HybridClock, Identity, Publisher
from pubsub.boundary import SYNC
from pubsub.messages import Parcel, Summary
from pubsub.transport import Connection, Overrun, Transport

OWNER = Identity(b"o" * 32)
PATIENCE = 120.0  # s for anything at all on real sockets: a bound, not a measure
BEGINNING = 1_700_000_000_000  # ms since 1970; any time would do


async def until(holds: Callable[[], object]) -> None:
    """Wait for what is to come."""
    with trio.fail_after(PATIENCE):
        while not holds():  # noqa: ASYNC110 - nobody rings an event for it
            await trio.sleep(0.01)


def seeded() -> dict[str, Any]:
    """Return the options of `open_peer` with which the seed of the run and the virtual time decide everything."""
    return {"entropy": random.randbytes, "wall": lambda: BEGINNING + round(1000 * trio.current_time())}


async def connect(left: Transport[Any], right: Transport[Any]) -> tuple[Connection[Any], Connection[Any]]:
    """Return both ends of a connection, that of the dialler first."""
    ours = await left.dial(right.peer)
    return ours, await right.accept()


def big(number: int) -> Summary:
    """Return a message of 4 kB that is known by its number."""
    return Summary((number,) * 1024)


def overrun(connection: Connection[Any]) -> int:
    """Send big messages until no more may wait, and return how many were taken."""
    for number in range(100_000):
        try:
            connection.send(SYNC, 1, big(number))
        except Overrun:
            return number
    raise AssertionError("what waits has no bound")


async def read_all(connection: Connection[Any]) -> None:
    while True:
        await connection.receive()


def parcels(domain: Domain) -> Callable[[], Parcel]:
    """Return how to make records of one owner, each a new one: what a topic carries."""
    publisher = Publisher(OWNER, domain, HybridClock(lambda: 1_700_000_000_000), 1)
    machine = Machine(Schema({"S": State()}), id="m")
    publisher.expose(machine)

    def make() -> Parcel:
        machine.toggle("S")
        publisher.changed(publisher.exposures[0])
        record = publisher.flush()
        assert record is not None
        return Parcel.of(record)

    return make
