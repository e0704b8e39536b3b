"""Answers in brief say the same as those in full."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import asyncmachine as am
from asyncmachine.web.app import Page
from asyncmachine.web.source import Source
from graph.parts import EdgeKey, Link, machine_vertex, peer_vertex
from tests.asyncmachine.web_house import Asker, Door, Light, Wall, a_house, moment, page_of

KINDS = ("connection", "pipe add", "pipe remove", "replica")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Asker]:
    async with a_house(tmp_path) as store:
        yield Asker(page_of(store))


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Asker]:
    """Give three peers that are connected, each with a door that moves the lights of all; one light is not recorded."""
    url, wall = f"sqlite:///{tmp_path / 'street.db'}", Wall()
    owners: dict[Any, str] = {}
    async with am.open_history(url, now=wall) as history, am.open_graph(history, peer_of=lambda r: owners[r]) as graph:
        names = ["alice", "bob", "carol"]
        for name in names:
            graph.live.add_vertex(peer_vertex(name))
        doors = {name: am.Machine(Door, id="door") for name in names}
        lights = {name: am.Machine(Light, id="light") for name in names}
        for name in names:
            owners[doors[name]] = owners[lights[name]] = name
        for name in names:
            for other in names:
                am.bind_state(doors[name], "Open", lights[other], "On")
            graph.follow(doors[name], lights[name])
            history.record(doors[name], owner=name)
            if name != "carol":
                history.record(lights[name], owner=name)
        wall.step(10)
        graph.live.add_edge(EdgeKey(Link.CONNECTION, peer_vertex("alice"), peer_vertex("bob")))
        graph.live.add_edge(EdgeKey(Link.REPLICA, peer_vertex("bob"), machine_vertex("door", "alice")))
        doors["alice"].add("Open")
        await graph.sync()
        wall.step(10)
        graph.unfollow(doors["bob"])
        doors["alice"].add("Closed")
        await graph.sync()
        wall.step(10)
        await history.sync()
    store = am.open_store(url, read_only=True)
    store.open()
    yield Asker(page_of(store))
    store.close()


def machines_of(brief: Any, ids: dict[int, str]) -> dict[str, list[str]]:
    return {ids[id]: brief["sets"][place] for id, place in zip(brief["ids"], brief["active"], strict=True)}


def edges_of(brief: Any, ids: dict[int, str]) -> list[tuple[str, str, str]]:
    """Return edges as kind and ends, in order."""
    names = {**ids, **{-1 - place: peer["peer"] for place, peer in enumerate(brief["peers"])}}
    found = [
        (kind, names[a], names[b])
        for kind, ends in brief["edges"].items()
        for a, b in zip(ends[::2], ends[1::2], strict=True)
    ]
    return sorted(found)


async def ids_of(asker: Asker) -> dict[int, str]:
    return {one["id"]: one["key"] for one in (await asker.get("network"))["machines"]}


async def test_machines_in_brief_are_the_same(house: Asker, street: Asker) -> None:
    for asker in (house, street):
        ids = await ids_of(asker)
        for second in range(-1, 70, 4):
            for more in ({}, {"owner": "alice"}, {"state": "Open"}, {"limit": 1}):
                asked: dict[str, Any] = {"at": moment(second), **more}
                full = await asker.get("network", **asked)
                brief = await asker.get("network", form="brief", **asked)
                assert machines_of(brief["brief"], ids) == {one["key"]: one["active"] for one in full["machines"]}
                assert (brief["machines"], full["brief"]) == ([], None)
                for name in ("asked", "not_yet", "forgotten", "truncated"):
                    assert brief[name] == full[name]
                assert (brief["brief"]["stale_ms"], brief["brief"]["online"]) == (None, {})


async def test_graphs_in_brief_are_the_same(house: Asker, street: Asker) -> None:
    for asker in (house, street):
        ids = await ids_of(asker)
        keys = set(ids.values())
        for second in (-1, 0, 5, 12, 22, 29):
            full = await asker.get("graph", at=moment(second), kinds=",".join(KINDS))
            answer = await asker.get("graph", at=moment(second), kinds=",".join(KINDS), form="brief")
            assert answer["derived"] == full["derived"]
            if full["derived"]:
                assert answer["brief"] is None
                continue
            brief, vertices = answer["brief"], {one["id"]: one for one in full["vertices"]}
            assert [p["peer"] for p in brief["peers"]] == [v["peer"] for v in full["vertices"] if v["kind"] == "peer"]
            assert {ids[id] for id in brief["machines"]} == {v["key"] for v in vertices.values()} & keys
            wanted = []
            for edge in full["edges"]:
                ends = [vertices[edge[end]] for end in ("source", "target")]
                if all(end["kind"] == "peer" or end["key"] in keys for end in ends):
                    told = [end["peer"] if end["kind"] == "peer" else end["key"] for end in ends]
                    wanted.append((edge["kind"], *told))
            assert edges_of(brief, ids) == sorted(wanted)
            assert answer["kinds"].items() >= full["kinds"].items()
        assert len(ids) >= 2


async def test_only_the_kinds_that_are_shown_are_sent_and_the_pipes_of_the_open_machine(street: Asker) -> None:
    ids = await ids_of(street)
    asked = {"at": moment(15), "form": "brief"}
    every = (await street.get("graph", **asked))["brief"]
    some = await street.get("graph", kinds="connection", **asked)
    assert edges_of(some["brief"], ids) == [("connection", "alice", "bob")]
    assert some["kinds"]["pipe add"] == 9  # of which seven lead to a light that is recorded
    more = (await street.get("graph", kinds="connection", pipes="alice/door", **asked))["brief"]
    assert edges_of(more, ids) == [
        ("connection", "alice", "bob"),
        *(
            (kind, "alice/door", light)
            for kind in ("pipe add", "pipe remove")
            for light in ("alice/light", "bob/light")
        ),
    ]
    assert set(edges_of(every, ids)) > set(edges_of(more, ids))
    assert (await street.get("graph", kinds="pipe add", pipes="alice/door", **asked))["brief"]["edges"].keys() == {
        "pipe add",
        "pipe remove",
    }


async def test_what_cannot_be_asked_in_brief_is_refused(house: Asker) -> None:
    assert (await house.wrong("graph", form="brief", machine="door"))[::2] == (400, "form")
    assert (await house.wrong("graph", pipes="door"))[::2] == (400, "pipes")
    assert (await house.wrong("graph", form="brief", pipes="nobody"))[::2] == (404, "machine")
    assert (await house.wrong("network", form="short"))[::2] == (400, "form")
    assert (await house.wrong("graph", form="brief", kinds="nonsense"))[::2] == (400, "kinds")


async def test_a_stored_graph_ends_with_what_was_there_last(house: Asker, street: Asker) -> None:
    """At its very end nothing is there any more; so without a moment it is the one before."""
    for asker in (house, street):
        for form in ("full", "brief"):
            last = await asker.get("graph", form=form)
            assert last["derived"] is False
            assert last["asked"] == (await asker.get("graph", form=form, at=last["asked"]))["asked"]
    full = await street.get("graph")
    assert {v["key"] for v in full["vertices"]} >= {"alice/door", "alice/light"}


async def test_machines_that_are_recorded_later_have_numbers_too(tmp_path: Path) -> None:
    """And so does one of the process itself, whose machines have no owner there."""
    async with am.open_history(f"sqlite:///{tmp_path / 'h.db'}") as history, am.open_graph(history) as graph:
        one, two = am.Machine(Light, id="one"), am.Machine(Light, id="two")
        am.bind_state(one, "On", two, "On")
        graph.follow(one, two)
        history.record(one)
        one.add("On")
        await graph.sync()
        await history.sync()
        page = Page(Source(history.store, mode="peer", title="", now=history.clock.latest))
        asker = Asker(page)
        first = await asker.get("graph", form="brief")
        assert first["brief"]["edges"] == {}
        assert len(first["brief"]["machines"]) == 1
        history.record(two)
        two.add("On")
        await history.sync()
        second = await asker.get("graph", form="brief")
        ids = await ids_of(asker)
        assert sorted(ids.values()) == ["/one", "/two"]
        assert edges_of(second["brief"], ids) == [("pipe add", "/one", "/two"), ("pipe remove", "/one", "/two")]
