"""The page in a process of its own: it answers from the history, knows what the peer tells, and ends with it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

import asyncmachine as am
from asyncmachine.web.apart import Job, Told, frame, reachable, serve_apart
from asyncmachine.web.apart_process import Mirror, Pipe
from asyncmachine.web.live import FRESH, Heard, Live
from asyncmachine.web.server import bind_page
from history import History
from tests.asyncmachine.web_house import Light

PATIENCE = 120.0  # s for a process to begin: a bound, not a measure
HEARD = Heard({"On": 1, "Exception": 0}, am.Machine(Light, id="x").schema, 1, 7, 9_000_000, ("room:hall",), None)
LIVE = Live("me", "house", {("bob", "lamp"): HEARD}, {"bob": False, "me": True})


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    async with am.open_history(f"sqlite:///{tmp_path / 'h.db'}") as history:
        yield history


async def get(url: str, path: str, **parameters: Any) -> Any:
    """Ask until there is an answer: the process has to begin first."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        response = await client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


async def test_it_answers_from_the_history_and_from_what_the_peer_tells(history: History) -> None:
    light = am.Machine(Light, id="light", handler_timeout=None)
    history.record(light, owner="alice")
    light.add("On")
    await history.sync()
    where = reachable(history.store)
    assert where is not None
    told = [Told(history.clock.latest(), {"alice": "Alice"}, LIVE)]
    with trio.fail_after(PATIENCE):
        async with serve_apart(bind_page(("127.0.0.1", 0)), Job(where, "house", None), lambda: told[-1]) as url:
            info = await get(url, "/api/info")
            assert (info["mode"], info["title"], info["peer"], info["live"]) == ("peer", "house", "me", True)
            assert {one["owner"]: one["name"] for one in info["owners"]} == {"alice": "Alice"}
            now = {one["key"]: one for one in (await get(url, "/api/network"))["machines"]}
            assert set(now) == {"alice/light", "bob/lamp"}
            lamp = now["bob/lamp"]
            assert (lamp["active"], lamp["online"], lamp["tags"]) == (["On"], False, ["room:hall"])
            assert lamp["stale_ms"] >= 9_000
            # and it follows: what is recorded, and what is told
            light.add_error(ValueError("burnt out"))
            await history.sync()
            told.append(Told(history.clock.latest(), {"alice": "Alice"}, Live("me", "house", {}, {"bob": True})))
            while "bob/lamp" in now or not now["alice/light"]["error"]:
                await trio.sleep(0.05)
                now = {one["key"]: one for one in (await get(url, "/api/network"))["machines"]}
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


def children() -> set[int]:
    """Return the processes that this one has started."""
    files = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for file in files for pid in file.read_text(encoding="ascii").split()}


async def test_a_page_that_dies_takes_nothing_with_it(history: History, caplog: pytest.LogCaptureFixture) -> None:
    before = children()
    where = reachable(history.store)
    assert where is not None
    with trio.fail_after(PATIENCE), caplog.at_level(logging.WARNING):
        async with serve_apart(bind_page(("127.0.0.1", 0)), Job(where, "house", None), lambda: Told(0)):
            (pid,) = children() - before
            os.kill(pid, signal.SIGKILL)
            while not caplog.records:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.01)
    assert "ended with status -9" in caplog.text


async def test_a_history_in_memory_can_be_read_by_its_own_process_only() -> None:
    for url in ("memory:", "sqlite://"):
        async with am.open_history(url) as history:
            assert reachable(history.store) is None


async def test_a_password_gets_there(tmp_path: Path) -> None:
    store = am.open_store("postgresql+psycopg://me:secret@localhost/house")
    assert reachable(store) == "postgresql+psycopg://me:secret@localhost/house"
    assert "secret" not in store.url


async def test_messages_come_whole_however_they_are_cut() -> None:
    first, second = Job("url", "title", None, 3), Told(5, {"a": "b"}, LIVE)
    sender, receiver = trio.testing.memory_stream_one_way_pair()
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            for byte in frame(first) + frame(second) + frame("cut off")[:-1]:
                await sender.send_all(bytes([byte]))
            await sender.aclose()

        nursery.start_soon(send)
        pipe = Pipe(receiver)
        assert await pipe.next() == first
        got = await pipe.next()
        assert (got.now, got.names, got.live.heard.keys(), got.live.online) == (
            5,
            {"a": "b"},
            LIVE.heard.keys(),
            LIVE.online,
        )
        assert await pipe.next() is None


async def test_a_peer_that_is_busy_holds_up_nobody_for_long(autojump_clock: trio.testing.MockClock) -> None:
    mirror = Mirror(Told(1, {}, LIVE))
    await mirror.refresh()
    assert not mirror.wanted.is_set()  # it is new enough
    await trio.sleep(10)
    began = trio.current_time()
    await mirror.refresh()
    assert mirror.wanted.is_set()
    assert trio.current_time() - began < FRESH
    assert (mirror.look().silent(("bob", "lamp")) or 0) >= 19_000  # ten more than was told
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mirror.refresh)
        await trio.sleep(0.1)
        mirror.take(Told(2, {}, LIVE))
    assert (mirror.now(), mirror.look().silent(("bob", "lamp"))) == (2, 9_000)
    assert mirror.look_at("lamp", None).silent(("bob", "no")) is None
