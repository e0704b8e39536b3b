"""The page answers alike wherever a history lives: every question, what is wrong with one, files, and the feed.

What the answers have to be is worked out by hand in tests/asyncmachine/test_web.py, over SQLite; here the other places
have to give the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio

from asyncmachine.web.questions import QUESTIONS
from history import open_history, open_store
from tests.asyncmachine.test_web import NASTY, WRONG
from tests.asyncmachine.web_house import NOON, SECOND, Asker, Wall, live_in_house, moment, page_of, page_over, paths

if TYPE_CHECKING:
    from tests.history.conftest import Fresh, Place

MOMENTS = [str(NOON - 1), *(moment(seconds) for seconds in (0, 5, 12, 15, 28, 32, 48, 55, 65, 3600))]
ASKED: list[tuple[str, dict[str, str]]] = [
    ("info", {}),
    *[("network", {"at": at}) for at in MOMENTS],
    ("network", {"owner": "alice"}),
    ("network", {"tag": "room:hall"}),
    ("network", {"at": moment(35), "state": "Locked"}),
    ("network", {"at": moment(32), "observer": "bob"}),
    ("network", {"limit": "1"}),
    *[("graph", {"at": at}) for at in MOMENTS],
    ("graph", {"at": moment(15), "machine": "door"}),
    ("graph", {"at": moment(3600), "machine": "door", "kinds": "owns,require"}),
    ("graph", {"at": moment(15), "kinds": "pipe add"}),
    *[("machine", {"machine": name, "at": at}) for at in MOMENTS[2:] for name in ("door", "alice/light")],
    ("machine", {"machine": "door", "at": "@3"}),
    *[("log", {"order": order, "limit": "100"}) for order in ("newest", "oldest")],
    ("log", {"machine": "door", "limit": "3"}),
    ("log", {"state": "Locked", "order": "oldest"}),
    ("log", {"since": moment(10), "until": moment(20), "order": "oldest"}),
    ("intervals", {"machine": "door"}),
    ("intervals", {"machine": "door", "since": moment(15), "until": moment(45), "states": "Open,Locked"}),
    *[
        ("step", {"at": at, "to": to, "by": by, "state": "Locked"})
        for at in MOMENTS
        for to in ("next", "previous")
        for by in ("transition", "minute", "change")
    ],
    *[("diff", {"t1": t1, "t2": t2}) for t1 in MOMENTS[:-1:2] for t2 in MOMENTS[1::2]],
    ("density", {"since": moment(-5), "until": moment(65), "buckets": "7"}),
    ("density", {"buckets": "13", "machine": "door", "state": "Open"}),
]


async def stand(place: Place, stack: AsyncExitStack, *, reopened: bool = False) -> Asker:
    """Record the house in a place, and return a page of it; ``reopened``: as `am web` opens it, after the recording."""
    wall = Wall()
    opening = open_history(place.url, now=wall)
    if reopened:
        async with opening as history:
            await live_in_house(history, wall)
        store = open_store(place.url, read_only=True)
        store.open()
        stack.callback(store.close)
        return Asker(page_of(store))
    history = await stack.enter_async_context(opening)
    await live_in_house(history, wall)
    return Asker(page_over(history))


@pytest.fixture
async def here(place: Place) -> AsyncIterator[Asker]:
    async with AsyncExitStack() as stack:
        yield await stand(place, stack)


@pytest.fixture
async def usual(sqlite_file: Place) -> AsyncIterator[Asker]:
    async with AsyncExitStack() as stack:
        yield await stand(sqlite_file, stack)


async def ask(page: Asker, path: str, asked: dict[str, str]) -> Any:
    """Return the status, and the answer without what names the place."""
    response = await page.send(f"/api/{path}", params=asked)
    told = msgspec.json.decode(response.content)
    for name in ("source", "life"):
        told.pop(name, None)
    return response.status_code, told


def test_every_question_is_among_those_that_are_asked() -> None:
    assert {path for path, _ in ASKED} == {*paths()}
    assert {question.path for question in QUESTIONS} <= {path for path, _ in ASKED}


async def test_every_place_gives_the_same_answers(here: Asker, usual: Asker) -> None:
    for path, asked in ASKED:
        found = await ask(here, path, asked)
        assert found == await ask(usual, path, asked), (path, asked)
        assert found[0] == 200, (path, asked, found[1])


async def test_pages_of_the_log_follow_each_other_everywhere(here: Asker, usual: Asker) -> None:
    async def pages(page: Asker) -> list[list[tuple[str, int]]]:
        found: list[list[tuple[str, int]]] = []
        after: dict[str, str] = {}
        while True:
            answer = await page.get("log", limit=2, **after)
            found.append([(record["key"], record["seq"]) for record in answer["records"]])
            if answer["after"] is None:
                return found
            after = {"after": answer["after"]}

    assert await pages(here) == await pages(usual)


async def test_what_is_wrong_is_told_alike(here: Asker) -> None:
    for path, asked, status, parameter, told in WRONG:
        found = await here.wrong(path, **asked)
        assert (found[0], found[2]) == (status, parameter), (path, asked)
        assert told in found[1]
    for text in NASTY:
        for path, name in (("network", "owner"), ("machine", "machine"), ("log", "state"), ("network", "tag")):
            response = await here.send(f"/api/{path}", params={name: text})
            assert response.status_code in (200, 400, 404), (path, text, response.text)


@pytest.mark.parametrize("kind", ["json", "sqlite"])
async def test_a_window_of_any_place_is_opened_again(here: Asker, kind: str) -> None:
    window = {"since": moment(12), "until": moment(45)}
    file = await here.send("/api/export", params={**window, "format": kind})
    assert file.status_code == 200
    opened = await here.send("/api/open", "POST", content=file.content, headers={"origin": "http://127.0.0.1:8321"})
    assert opened.status_code == 200, opened.text
    id = opened.json()["window"]
    for at in (moment(15), moment(32), moment(44)):
        inside, whole = await here.get("network", at=at, window=id), await here.get("network", at=at)
        assert [(m["key"], m["active"]) for m in inside["machines"]] == [
            (m["key"], m["active"]) for m in whole["machines"]
        ]
        (believed,) = (await here.get("machine", machine="door", at=at, window=id))["beliefs"]
        (truly,) = (await here.get("machine", machine="door", at=at))["beliefs"]
        assert (believed["observer"], believed["ticks"]) == (truly["observer"], truly["ticks"])


async def test_the_feed_has_the_same_records_everywhere(here: Asker, usual: Asker) -> None:
    async def backlog(page: Asker) -> bytes:
        client = await page.page.hub.join(NOON - SECOND, None)
        with trio.fail_after(30):
            return (await client.next() or b"").partition(b"event: records")[2]

    found = await backlog(here)
    assert found == await backlog(usual)
    assert found.count(b'"key":"alice/') == 12


async def test_what_is_stored_is_answered_alike_when_it_is_only_read(
    lasting: Place, fresh: Fresh, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        here = await stand(lasting, stack, reopened=True)
        usual = await stand(fresh("sqlite-file"), stack, reopened=True)
        for path, asked in ASKED:
            found = await ask(here, path, asked)
            assert found == await ask(usual, path, asked), (path, asked)
            assert found[0] == 200, (path, asked, found[1])
