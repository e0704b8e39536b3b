"""A house: machines to share with other peers, and a program that works them. It is for `am peer run`.

You learn: the machines are one target and the program that works them another, so that the peer records them and
brings them back, before the program begins.

    am peer run examples/house.py:everything examples/house.py:evening --topic house
"""

import trio

import asyncmachine as am


class Door(am.Schema):
    """It is open or closed, and is locked only while it is closed."""

    Open = am.State(remove=["Closed", "Locked"])
    Closed = am.State(remove="Open")
    Locked = am.State(require="Closed")


class Light(am.Schema):
    """It is on or off."""

    On = am.State(remove="Off")
    Off = am.State(auto=True)


door = am.Machine(Door, id="door", tags=["room:hall"])
light = am.Machine(Light, id="light", tags=["room:hall"])
am.bind_state(door, "Open", light, "On")  # whoever opens the door has light
everything = [door, light]


async def evening(peer: am.Peer) -> None:
    """Open and close the door, every second, until the peer is told to stop."""
    while True:
        door.add("Open")
        await trio.sleep(1)
        door.add("Closed")
        light.remove("On")
        await trio.sleep(1)
