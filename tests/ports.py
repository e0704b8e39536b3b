"""Ports for what has to know its port before it listens."""

from __future__ import annotations

import random
import socket

# Below those that the kernel gives to whoever asks for any port, and to connections: another test that runs at the same
# time would get the port in between.
LOWEST, BEYOND = 20_000, 32_768


def free_port() -> int:
    """Return a port of loopback on which nobody listens, and which nobody gets who does not ask for it."""
    chance = random.SystemRandom()  # not that of the test: other processes would come to the same ports
    while True:
        port = chance.randrange(LOWEST, BEYOND)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
