"""A page that a running peer serves: what its replicas say now, beside what was recorded."""

from __future__ import annotations

import trio
from trio.testing import MockClock

import asyncmachine as am
from asyncmachine.web.app import Page
from asyncmachine.web.live import FRESH, LivePeer
from asyncmachine.web.source import Source
from tests.asyncmachine.web_house import Asker, Door, Light
from tests.pubsub.test_peer import Town


async def test_machines_of_others_are_there_as_they_are_now(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    town = Town(nursery)
    alice = await town.open()
    bob = await town.open(alice)
    door = am.Machine(Door, id="door", tags=["room:hall"], handler_timeout=None)
    light = am.Machine(Light, id="light", handler_timeout=None)
    alice.expose(door)
    bob.expose(light)
    replica = await bob.replica("door")
    async with am.open_history("memory:") as history:
        history.record(light)
        await history.sync()
        source = Source(history.store, mode="peer", title="house", now=history.clock.latest)
        ask = Asker(Page(source, live=LivePeer(bob, "house")))
        info = await ask.get("info")
        assert (info["mode"], info["peer"], info["topic"], info["live"]) == ("peer", bob.id, "house", True)
        door.add("Open")
        await replica.when("Open")
        await trio.sleep(2 * FRESH)
        now = {machine["key"]: machine for machine in (await ask.get("network"))["machines"]}
        assert set(now) == {"/light", f"{alice.id}/door"}
        assert (now["/light"]["peer"], now["/light"]["stale_ms"]) == (bob.id, None)
        seen = now[f"{alice.id}/door"]
        assert (seen["active"], seen["tags"], seen["online"]) == (["Open"], ["room:hall"], True)
        assert seen["stale_ms"] >= 0
        assert [m["key"] for m in (await ask.get("network", state="Open"))["machines"]] == [f"{alice.id}/door"]
        found = await ask.get("machine", machine="door")
        assert found["moment"]["ticks"]["Open"] == 1
        assert {state["name"]: state["remove"] for state in found["states"]}["Open"] == ["Closed", "Locked"]
        # of the past there is only what was recorded
        assert [m["key"] for m in (await ask.get("network", at="now"))["machines"]] == ["/light"]
        assert (await ask.wrong("machine", machine="door", at="now"))[0] == 404


async def test_the_truth_beside_what_this_peer_believes_now(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    town = Town(nursery)
    alice = await town.open()
    bob = await town.open(alice)
    door = am.Machine(Door, id="door", handler_timeout=None)
    truth = am.Machine(Door, id="door", handler_timeout=None)  # is ahead of what alice has told of it
    alice.expose(door)
    replica = await bob.replica("door")
    async with am.open_history("memory:") as history:
        history.record(truth, owner=alice.id)  # as an observer has it, from the log of its owner
        source = Source(history.store, mode="peer", title="house", now=history.clock.latest)
        ask = Asker(Page(source, live=LivePeer(bob, "house")))
        truth.add("Open")
        await history.sync()
        (late,) = (await ask.get("machine", machine="door"))["beliefs"]
        door.add("Open")
        await replica.when("Open")
        (right,) = (await ask.get("machine", machine="door"))["beliefs"]
    assert (late["observer"], late["known"], late["ticks"], late["behind_ticks"]) == (bob.id, True, {"Open": [1, 0]}, 1)
    assert late["stale_ms"] >= 0
    assert (right["ticks"], right["behind_ticks"], right["stale_ms"]) == ({}, 0, 0)
