"""What the tests of the page's server share: a small house that was recorded, and a server of it without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

import asyncmachine as am
from asyncmachine.web.app import Page
from asyncmachine.web.source import Source
from history import History, open_store
from history.store import Store

SECOND = 10**9
NOON = 1_360_238_400 * SECOND  # 2013-02-07T12:00Z


class Door(am.Schema):
    Closed = am.State(auto=True, remove="Open")
    Open = am.State(remove=[Closed, "Locked"])
    Locked = am.State(require=Closed)


class Light(am.Schema):
    On = am.State(multi=True)


class Wall:
    """A wall clock that is moved by hand."""

    at = NOON

    def __call__(self) -> int:
        return self.at

    def step(self, seconds: int) -> None:
        self.at += seconds * SECOND


async def record_house(url: str) -> None:
    """Record a door of alice, which moves every ten seconds from noon on; her light; and what bob saw of the door.

    12:00:00 Closed; :10 Open; :20 Closed; :30 Locked; :40 Open; :50 refused; 12:01:00 the light breaks. Bob sees each
    change 5 s later, and nothing after 12:00:30.
    """
    wall = Wall()
    async with am.open_history(url, now=wall) as history:
        await live_in_house(history, wall)


async def live_in_house(history: History, wall: Wall) -> None:
    """Let all of that happen, in a history that is still empty, under this clock."""
    door, light = am.Machine(Door, id="door", tags=["room:hall"]), am.Machine(Light, id="light")
    seen = am.Machine(Door, id="door")
    am.bind_state(door, "Open", light, "On")
    async with am.open_graph(history, peer_of=lambda reader: "alice") as graph:
        graph.follow(door, light)
        history.record(door, owner="alice", rejected=True)
        history.record(light, owner="alice")
        history.record(seen, owner="updates of alice by bob")
        door.add("Closed")
        seen.add("Closed")
        for n, state in enumerate(("Open", "Closed", "Locked", "Open"), 1):
            wall.step(NOON // SECOND + 10 * n - wall.at // SECOND)
            door.add(state, who="Ann")
            wall.step(5)
            if n <= 3:
                seen.add(state)
        wall.step(5)
        door.add("Locked")
        wall.step(10)
        light.add_error(ValueError("burnt out"))
        await graph.sync()
    await history.sync()


@asynccontextmanager
async def a_house(path: Path) -> AsyncIterator[Store]:
    """Yield the open store of a recorded house."""
    url = f"sqlite:///{path / 'house.db'}"
    await record_house(url)
    store = open_store(url, read_only=True)
    store.open()
    store.generation = -1
    try:
        yield store
    finally:
        store.close()


class Asker:
    """Asks a page without a socket."""

    def __init__(self, page: Page, **headers: str) -> None:
        self.page = page
        self._headers = {"host": "127.0.0.1:8321", **headers}

    async def send(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.page.asgi, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8321") as client:
            headers = {**self._headers, **options.pop("headers", {})}
            return await client.request(method, path, headers=headers, **options)

    async def get(self, path: str, **parameters: Any) -> Any:
        """Return an answer; it has to be one."""
        response = await self.send(f"/api/{path}", params=parameters)
        assert response.status_code == 200, response.text
        return msgspec.json.decode(response.content)

    async def wrong(self, path: str, **parameters: Any) -> tuple[int, str, str | None]:
        """Return the status, what is said to be wrong, and the parameter that is to blame."""
        response = await self.send(f"/api/{path}", params=parameters)
        told = msgspec.json.decode(response.content)
        assert 400 <= response.status_code < 500
        return response.status_code, told["error"], told["parameter"]


def page_of(store: Store) -> Page:
    """Return a page over a stored history."""
    return Page(Source(store, mode="history", title="house"))


def page_over(history: History) -> Page:
    """Return a page over a history that is being recorded."""
    return Page(Source(history.store, mode="peer", title="house", now=history.clock.latest))


def moment(seconds: float) -> str:
    """Return so many seconds after noon as the page writes moments."""
    return str(NOON + int(seconds * SECOND))


def paths() -> Iterator[str]:
    """Yield the paths of all questions."""
    from asyncmachine.web.questions import QUESTIONS

    yield "info"
    yield from (question.path for question in QUESTIONS)
