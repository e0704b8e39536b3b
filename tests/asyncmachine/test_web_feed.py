"""The feed: what is new comes to whoever listens, and who does not read holds nobody up."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

import asyncmachine as am
from asyncmachine.web.answers import RecordAnswer
from asyncmachine.web.app import FEED
from asyncmachine.web.feed import BATCH, Client, Gap, Hello, Hub, Records, event
from asyncmachine.web.server import bind_page, serve_page
from asyncmachine.web.stream import SLOW, Stream
from tests.asyncmachine.web_house import Asker, Light, page_over


def parsed(data: bytes) -> list[tuple[str, Any]]:
    """Return the events in what was sent: name and value."""
    found = []
    for block in data.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if lines:
            found.append((lines["event"], msgspec.json.decode(lines["data"])))
    return found


def records(many: int) -> Records:
    one = RecordAnswer(
        id=1, key="a/b", machine="b", owner="a", at="1", epoch=1, seq=1, mutation="add", auto=False, rejected=False,
        error=False, called=[], activated=[], deactivated=[], time_sum=1, cause=None, arguments=None,
    )  # fmt: skip
    return Records(records=[one] * many)


async def test_who_does_not_read_loses_the_oldest_and_is_told(autojump_clock: MockClock) -> None:
    client = Client(10)
    for n in range(1, 8):
        client.put(event(records(3), weight=3, id=n))
    found = parsed(await client.next() or b"")
    assert found[0] == ("gap", {"dropped": 12})
    assert [len(value["records"]) for _, value in found[1:]] == [3, 3, 3]
    assert client.dropped == 12
    client.put(event(Hello(at="1")))
    assert parsed(await client.next() or b"") == [("hello", {"at": "1"})]
    client.put(event(records(50), weight=50))  # larger than all the room: it alone is kept
    assert len(parsed(await client.next() or b"")[0][1]["records"]) == 50
    client.close()
    assert await client.next() is None


async def test_two_that_join_at_once_miss_nothing_between_them() -> None:
    async with am.open_history("memory:") as history:
        light = am.Machine(Light, id="light", handler_timeout=None)
        history.record(light)
        light.add("On")
        await history.sync()
        asked: list[None] = []
        positions: list[int] = []

        async def in_thread(function: Any, /, *args: Any) -> Any:
            if function != hub._position:
                return function(*args)
            asked.append(None)
            await trio.sleep(0.05 * len(asked))  # the other one asks meanwhile, and there is always something new
            light.add("On")
            await history.sync()
            found = function(*args)
            positions.append(found[0])
            return found

        hub = Hub(page_over(history).hub._source, in_thread, room=FEED)
        clients: list[Client] = []

        async def join() -> None:
            clients.append(await hub.join(None, None))

        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as joining:
                joining.start_soon(join)
                joining.start_soon(join)
            nursery.start_soon(hub.run)
            light.add("On")
            await history.sync()
            last = positions[-1] + 1
            told = [await told_until(client, last) for client in clients]
            nursery.cancel_scope.cancel()
    assert ids_of(told[0]) == list(range(positions[0] + 1, last + 1))
    assert ids_of(told[1]) == list(range(positions[-1] + 1, last + 1))


async def told_until(client: Client, last: int) -> list[tuple[str, Any]]:
    """Return the events of a client up to a record; the hub reads in a thread, which no clock of a test waits for."""
    events: list[tuple[str, Any]] = []
    with trio.fail_after(60):
        while last not in ids_of(events):
            events += parsed(await client.next() or b"")
    return events


def ids_of(events: list[tuple[str, Any]]) -> list[int]:
    """Return the ids of the records in some events."""
    return [record["id"] for name, value in events if name == "records" for record in value["records"]]


async def test_past_and_new_records_come_each_once() -> None:
    async with am.open_history("memory:") as history:
        light = am.Machine(Light, id="light", handler_timeout=None)
        history.record(light)
        light.add("On")
        await history.sync()
        page = page_over(history)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(page.run)
            clients = [await page.hub.join(0, None), await page.hub.join(None, None), await page.hub.join(None, 1)]
            told: list[list[tuple[str, Any]]] = [[], [], []]
            for last in (3, 4):
                light.add("On")
                await history.sync()
                for events, client in zip(told, clients, strict=True):
                    events += await told_until(client, last)
            page.close()
            assert [await one.next() for one in clients] == [None] * 3
            nursery.cancel_scope.cancel()
    assert [ids_of(events) for events in told] == [[1, 2, 3, 4], [3, 4], [2, 3, 4]]
    assert {events[0][0] for events in told} == {"hello"}


async def test_who_is_cut_off_right_behind_the_beginning_goes_on_where_it_was() -> None:
    async with am.open_history("memory:") as history:
        light = am.Machine(Light, id="light", handler_timeout=None)
        history.record(light)
        for _ in range(5):
            light.add("On")
        await history.sync()
        hub = page_over(history).hub
        for after, begins in ((None, 6), (2, 2), (99, 6)):  # from now on; behind a row; behind one of another database
            told = await (await hub.join(None, after)).next() or b""
            assert told.startswith(b"event: hello\nid: %d\n" % begins)


async def test_of_too_much_that_was_missed_the_newest_come(autojump_clock: MockClock) -> None:
    async with am.open_history("memory:") as history:
        light = am.Machine(Light, id="light", handler_timeout=None)
        history.record(light)
        for _ in range(FEED + 99):
            light.add("On")
        await history.sync()
        page = page_over(history)
        client = await page.hub.join(0, None)
        found = parsed(await client.next() or b"")
    dropped = found[0][1]["dropped"]
    kept = [r["id"] for name, value in found if name == "records" for r in value["records"]]
    assert found[0][0] == "gap"
    assert kept[-1] == FEED + 100
    assert dropped + len(kept) >= FEED + 100
    assert len(kept) <= FEED


async def test_no_more_clients_than_there_may_be(autojump_clock: MockClock) -> None:
    async with am.open_history("memory:") as history:
        page = page_over(history)
        while not page.hub.is_full:
            await page.hub.join(None, None)
        found = await Asker(page).send("/api/feed")
    assert found.status_code == 429
    assert "pages follow already" in found.json()["error"]


async def test_one_that_takes_nothing_is_hung_up(autojump_clock: MockClock) -> None:
    async with am.open_history("memory:") as history:
        hub: Hub = page_over(history).hub
        client = await hub.join(None, None)
        stream = Stream(hub, client)

        async def receive() -> dict[str, Any]:
            await trio.sleep_forever()
            raise AssertionError

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                await trio.sleep_forever()

        began = trio.current_time()
        await stream({}, receive, send)
        assert trio.current_time() - began == pytest.approx(SLOW)
        assert (stream.was_slow, hub.clients) == (True, 0)


async def test_one_that_goes_is_forgotten(autojump_clock: MockClock) -> None:
    async with am.open_history("memory:") as history:
        hub = page_over(history).hub
        stream = Stream(hub, await hub.join(None, None))

        async def receive() -> dict[str, Any]:
            await trio.sleep(3)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await trio.lowlevel.checkpoint()

        await stream({}, receive, send)
        assert hub.clients == 0


async def test_the_last_word_is_sent_to_its_end(autojump_clock: MockClock) -> None:
    """Hypercorn says that the client is gone while it closes the connection: that must not keep it from closing it."""
    told, gone = list[Any](), trio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and not message["more_body"]:
            gone.set()
            await trio.sleep(1)
        told.append(message)

    async with am.open_history("memory:") as history:
        hub = Hub(page_over(history).source, trio.to_thread.run_sync, room=FEED)
        client = Client(FEED)
        client.close()
        await Stream(hub, client)({}, receive, send)
    assert told[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_a_client_that_never_reads_slows_nobody(tmp_path: Path) -> None:
    """Over a real socket: it asks for the feed, and takes nothing of it. Machines and other clients go on."""
    async with am.open_history(f"sqlite:///{tmp_path / 'h.db'}") as history:
        lights = [am.Machine(Light, id=f"light {'x' * 200} {n}", handler_timeout=None) for n in range(20)]
        for light in lights:
            history.record(light)
        page = page_over(history)
        bound = bind_page(("127.0.0.1", 0))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # soon full
        port = bound.getsockname()[1]
        async with serve_page(bound, page):
            deaf = await trio.open_tcp_stream("127.0.0.1", port)
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await deaf.send_all(b"GET /api/feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with trio.fail_after(60):
                while page.hub.clients < 1:  # noqa: ASYNC110 - nobody tells
                    await trio.sleep(0.01)
                (slow,) = page.hub._clients
                reader = await trio.open_tcp_stream("127.0.0.1", port)
                await reader.send_all(b"GET /api/feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while page.hub.clients < 2:  # noqa: ASYNC110 - nobody tells
                    await trio.sleep(0.01)
                made, heard = 0, b""
                while not slow.dropped:  # what its socket holds is full, and then its queue
                    for light in lights:
                        for _ in range(20):
                            light.add("On")
                            made += 1
                    await history.sync()
                    heard = (heard + await reader.receive_some(1 << 20))[-200_000:]
                # the other one has missed nothing for it
                while f'"id":{made + len(lights)},'.encode() not in heard:
                    heard = (heard + await reader.receive_some(1 << 20))[-200_000:]
            began = trio.current_time()
        assert trio.current_time() - began < SLOW  # else it waits so long for who does not read
        await deaf.aclose()
        await reader.aclose()
    assert made > BATCH


async def test_a_gap_is_an_event() -> None:
    assert parsed(event(Gap(dropped=3)).data) == [("gap", {"dropped": 3})]
