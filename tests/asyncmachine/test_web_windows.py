"""Windows: what a page exports it opens again, and answers the same; what is no window is refused, whatever it is."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import asyncmachine as am
from asyncmachine.web.windows import KEPT
from tests.asyncmachine.web_house import NOON, SECOND, Asker, a_house, moment, page_of

SINCE, UNTIL = moment(15), moment(45)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Asker]:
    async with a_house(tmp_path) as store:
        yield Asker(page_of(store))


async def exported(house: Asker, **asked: str) -> bytes:
    response = await house.send("/api/export", params={"since": SINCE, "until": UNTIL, **asked})
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"].startswith('attachment; filename="window.')
    return response.content


async def opened(house: Asker, body: bytes) -> str:
    response = await house.send("/api/open", "POST", content=body)
    assert response.status_code == 200, response.text
    found: str = response.json()["window"]
    return found


def plain(answer: Any) -> Any:
    """Return an answer without what is counted anew in a window: ids."""
    if isinstance(answer, dict):
        return {name: plain(value) for name, value in answer.items() if name not in ("id", "not_yet")}
    return [plain(value) for value in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("format", ["json", "sqlite"])
async def test_a_window_answers_as_the_history_that_it_is_of(house: Asker, format: str) -> None:
    body = await exported(house, format=format)
    assert await exported(house, format="json") == await exported(house, format="json")
    window = await opened(house, body)
    info = await house.get("info", window=window)
    assert (info["mode"], info["machines"], info["title"]) == (
        "window",
        2,
        {"json": "house", "sqlite": "window"}[format],
    )
    questions: list[tuple[str, dict[str, str]]] = [
        *(("network", {"at": moment(seconds)}) for seconds in (15, 18, 20, 32, 44, 45)),
        *(("machine", {"machine": name, "at": moment(42)}) for name in ("door", "light")),
        ("graph", {"at": moment(30)}),
        ("graph", {"at": moment(30), "machine": "door"}),
        ("log", {"since": SINCE, "until": UNTIL, "limit": "100"}),
        ("intervals", {"machine": "door", "since": SINCE, "until": UNTIL}),
        ("step", {"at": moment(25), "machine": "door"}),
        ("diff", {"t1": SINCE, "t2": UNTIL}),
        ("density", {"since": SINCE, "until": UNTIL, "buckets": "6"}),
    ]
    for path, asked in questions:
        there, here = await house.get(path, **asked), await house.get(path, **asked, window=window)
        if path == "machine":  # before the window there is its base only
            for answer in (there, here):
                for state in answer["states"]:
                    if int(state["last_change"] or 0) <= int(SINCE):
                        state["last_change"] = None
        assert plain(here) == plain(there), (path, asked)


async def test_an_exported_database_is_a_history(house: Asker, tmp_path: Path) -> None:
    path = tmp_path / "window.db"
    path.write_bytes(await exported(house, format="sqlite"))
    store = am.open_store(f"sqlite:///{path}", read_only=True)
    store.open()
    try:
        ask = am.Questions(store, lambda: NOON + 3600 * SECOND)
        assert ask.as_of(("alice", "door"), int(moment(35))).active == ("Closed", "Locked")
        assert len(am.PastGraph(store).as_of(int(moment(35))).vertices())
    finally:
        store.close()
    # what the page exported is opened again and exported again: it stays what it is
    window = await opened(house, path.read_bytes())
    again = await house.send("/api/export", params={"window": window, "since": SINCE, "until": UNTIL})
    assert msgspec.json.decode(again.content)["machines"] == msgspec.json.decode(await exported(house))["machines"]


async def test_only_a_few_windows_are_kept(house: Asker) -> None:
    body = await exported(house)
    first, *_, last = [await opened(house, body) for _ in range(KEPT + 1)]
    assert (await house.wrong("info", window=first))[0] == 404
    assert (await house.get("info", window=last))["mode"] == "window"
    assert (await house.wrong("feed", window=last))[:2] == (400, "a window does not change: there is no feed of it")


def broken(body: bytes) -> dict[str, bytes]:
    """Return files that are no windows, and why."""
    whole = msgspec.json.decode(body)
    (alice, *_) = whole["machines"]
    row = alice["rows"][0]

    def changed(**fields: Any) -> bytes:
        return msgspec.json.encode({**whole, **fields})

    def machine(**fields: Any) -> bytes:
        return changed(machines=[{**alice, **fields}])

    return {
        "there is no file": b"",
        "JSON is malformed": b"hello",
        "Input data was truncated": body[: len(body) // 2],
        "missing required field": b"{}",
        "of the format 'something else'": changed(format="something else"),
        "there is no machine in this file": changed(machines=[]),
        "twice": changed(machines=[alice, alice]),
        "comes after": machine(rows=[row, row]),
        "has no schema": machine(rows=alice["rows"][1:]),
        "is not one": machine(rows=[[1, 1, "AAAA"]]),
        "Invalid base64": machine(rows=[[1, 1, "not base64!"]]),
        "cannot be stored": machine(owner="a\0b"),
        "unknown field": changed(extra=1),
        "Expected `int`": changed(since="1"),
        "is not known": changed(
            graph=[{**whole["graph"][0], "vertices": [[["planet", "", "", ""], [], 1, 2]], "edges": []}]
        ),
        "never was there": changed(
            graph=[{**whole["graph"][0], "vertices": [[["machine", "a", "b", ""], [], 2, 2]], "edges": []}]
        ),
        "ends before it begins": changed(graph=[{**whole["graph"][0], "began": 5, "last": 4}]),
        "nested": b"[" * 100_000,
    }


async def test_what_is_no_window_is_refused(house: Asker) -> None:
    for told, body in broken(await exported(house)).items():
        response = await house.send("/api/open", "POST", content=body)
        assert response.status_code == 400, (told, response.text)
        assert told in response.json()["error"] or told == "nested", (told, response.text)


async def test_a_database_that_is_no_window_is_refused(house: Asker, tmp_path: Path) -> None:
    good = await exported(house, format="sqlite")

    def made(name: str, *statements: str, of: bytes | None = None) -> bytes:
        path = tmp_path / name
        if of is not None:
            path.write_bytes(of)
        with sqlite3.connect(path) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        return path.read_bytes()

    other = made("other.db", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    slow = "CREATE VIEW v AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    files = {
        "no window of a history": other,
        "has a view": made("view.db", slow, of=good),
        "has a trigger": made("trigger.db", "CREATE TRIGGER x AFTER INSERT ON machine BEGIN SELECT 1; END", of=good),
        "of version 0001": made("old.db", "UPDATE alembic_version SET version_num = '0001'", of=good),
        "this program knows up to": made("new.db", "UPDATE alembic_version SET version_num = '9999'", of=good),
        "is": made("schema.db", "UPDATE schema SET body = '[1'", of=good),
        "this": made("ticks.db", "UPDATE transition SET ticks = x'ff'", of=good),
        "database": good[: len(good) // 2],
        "history": made("tags.db", "UPDATE machine SET tags = '{'", of=good),
    }
    for told, body in files.items():
        response = await house.send("/api/open", "POST", content=body)
        assert response.status_code == 400, (told, response.text)
        assert told in response.json()["error"], (told, response.text)
        assert str(tmp_path) not in response.text
        assert "am-window-" not in response.text
    noise = bytearray(good)
    for n in range(200, len(noise), 97):
        noise[n] ^= 0x5A
    assert (await house.send("/api/open", "POST", content=bytes(noise))).status_code == 400
