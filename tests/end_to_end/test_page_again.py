"""The page while its server is away, and when it is there again: nothing is missing, and nothing comes twice."""

# ruff: noqa: F811, F401

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

import asyncmachine as am
from history.store import Store
from tests.end_to_end.test_page import AM, HOUSE, PATIENCE, browser, moment_of, number, ready, shown_at
from tests.ports import free_port

Start = list[str]
#: What the page was told, by the ids of the rows, from now on.
KEEP = """() => {
    const { feed } = window.asyncmachine, put = feed.put.bind(feed), records = feed.use.records;
    window.told = [];
    window.shown = [];
    feed.put = (list) => (window.told.push(...list.map(({ id }) => id)), put(list));
    feed.use.records = (list) => (window.shown.push(...list.map(({ id }) => id)), records(list));
}"""


class Server:
    """A server that can be killed, and started again at the same address."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self.port = free_port()
        self._arguments = [text.format(port=self.port) for text in arguments]
        self._process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str) -> str:
        """Start it; return where the page is."""
        command = [str(AM), *(arguments or self._arguments), "--json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self._folder)
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        return str(told.get("web") or told["url"]).rstrip("/")

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@contextmanager
def server(folder: Path, *arguments: str) -> Iterator[Server]:
    made = Server(folder, *arguments)
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """Open the page; but for what could not be reached, nothing may go wrong in it."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as fresh:
        page, wrong = fresh.new_page(), []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda message: (
                wrong.append(message.text) if "net::ERR_" not in message.text and message.type == "error" else None
            ),
        )
        page.goto(url)
        ready(page)
        yield page
        assert wrong == []


PEER: Start = ["peer", "run", "house.py:everything", "house.py:wind", "--topic", "page", "--web", "127.0.0.1:{port}"]


def rows_of(url: str, owner_of: str) -> list[int]:
    """Return the ids of all rows of a history but of what others believed."""
    store: Store = am.open_store(url, read_only=True)
    store.open()
    try:
        names = {row.id: row.owner for row in store.machines()}
        found: list[int] = []
        while rows := store.feed(found[-1] if found else 0, 500, None):
            found += [row.id for row in rows]
        assert set(names.values()) == {owner_of}
        return found
    finally:
        store.close()


def until(page: Page, expression: str) -> None:
    """Wait until something is so; playwright's own way evaluates text in the page, which the page does not allow."""
    for _ in range(PATIENCE // 50):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"it did not come to {expression}")


def told(page: Page) -> list[int]:
    return list(page.evaluate("window.told"))


def test_a_peer_that_was_killed_is_found_again_and_each_record_comes_once(
    browser: Browser,
    tmp_path: Path,
) -> None:
    (tmp_path / "house.py").write_text(HOUSE)
    with server(tmp_path, *PEER, "--history", "house.db") as there, opened(browser, there.start() + "/#s=Open") as page:
        status, said, live = page.locator("#feed-status"), page.locator("#said"), page.locator("#live")
        expect(status).to_have_attribute("data-state", "open")
        page.evaluate(KEEP)
        until(page, "window.shown.length > 5")
        there.kill()
        expect(status).to_have_attribute("data-state", "lost")
        expect(status).to_have_text("connection lost, trying again…")
        expect(said).to_contain_text("The server does not answer")
        expect(live).to_have_attribute("data-feed", "lost")
        before = told(page)
        # while it is away somebody goes to another moment, and comes back
        page.keyboard.press("t")
        page.fill("#go-time", "2s ago")
        page.keyboard.press("Enter")
        page.wait_for_selector("#go", state="hidden")
        there.start()
        expect(status).to_have_attribute("data-state", "open")
        expect(said).to_have_text("Connected again.")
        at = moment_of(page)
        shown_at(page, at)
        ask = questions(tmp_path / "house.db")
        assert number(page, "#count-active") == len(ask.network(at).active("Open"))
        page.keyboard.press("l")
        page.wait_for_selector('#clock[data-at="live"]')
        active = page.locator("#count-active")
        for value in ("1", "0"):
            expect(active).to_have_attribute("data-value", value)
        until(page, f"window.shown.length > {len(before)} + 5")
        found, shown = page.evaluate("[window.told, window.shown]")  # at once: more comes meanwhile
        assert shown == found[: len(shown)]
    every = rows_of(f"sqlite:///{tmp_path / 'house.db'}", "")
    assert found[: len(before)] == before
    assert found == every[every.index(found[0]) : every.index(found[-1]) + 1]


def questions(file: Path) -> am.Questions:
    store = am.open_store(f"sqlite:///{file}", read_only=True)
    store.open()
    return am.Questions(store, time.time_ns)


def test_it_says_that_it_is_live_again(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "house.py").write_text(HOUSE)
    with server(tmp_path, *PEER, "--history", "house.db") as there, opened(browser, there.start()) as page:
        expect(page.locator("#feed-status")).to_have_attribute("data-state", "open")
        there.kill()
        expect(page.locator("#feed-status")).to_have_attribute("data-state", "lost")
        page.set_viewport_size({"width": 400, "height": 800})
        expect(page.locator("#feed-status")).to_be_visible()  # there is no room for it otherwise
        there.start()
        expect(page.locator("#said")).to_have_text("Connected again: this is live.")
        expect(page.locator("#live")).to_have_attribute("data-feed", "open")


def test_another_history_at_the_same_address_is_shown_from_its_start(
    browser: Browser,
    tmp_path: Path,
) -> None:
    """A peer without a history has another one after each start: what the page knew is over."""
    (tmp_path / "house.py").write_text(HOUSE)
    with server(tmp_path, *PEER) as there, opened(browser, there.start()) as page:
        expect(page.locator("#feed-status")).to_have_attribute("data-state", "open")
        until(page, "window.asyncmachine.feed.newest > 10")
        first = page.evaluate("window.asyncmachine.world.data.value.info.first")
        there.kill()
        expect(page.locator("#feed-status")).to_have_attribute("data-state", "lost")
        there.start()
        expect(page.locator("#said")).to_have_text("The server is there again, with another history.")
        expect(page.locator("#feed-status")).to_have_attribute("data-state", "open")
        assert page.evaluate("window.asyncmachine.world.data.value.info.first") != first
        assert number(page, "#count-machines") == 2


def test_a_stored_history_is_asked_again_what_was_not_answered(
    browser: Browser,
    tmp_path: Path,
) -> None:
    (tmp_path / "house.py").write_text(HOUSE)
    with server(tmp_path, *PEER, "--history", "house.db") as house:
        house.start()
        file = tmp_path / "house.db"
        while len(rows_of(f"sqlite:///{file}", "")) < 30:
            pass
        house.kill()
    web = ["web", "--history", f"sqlite:///{file}", "--address", "127.0.0.1:{port}"]
    with server(tmp_path, *web) as there, opened(browser, there.start() + "/#s=Open") as page:
        ask = questions(file)
        there.kill()
        moments = [record.at for record in ask.between(0) if "Open" in record.activated]
        at = moments[len(moments) // 2]
        page.keyboard.press("t")
        page.fill("#go-time", str(at))
        page.keyboard.press("Enter")
        expect(page.locator("#feed-status")).to_have_attribute("data-state", "lost")
        expect(page.locator("#said")).to_contain_text("The server does not answer")
        there.start()
        expect(page.locator("#feed-status")).to_have_attribute("data-state", "none")
        expect(page.locator("#said")).to_have_text("Connected again.")
        shown_at(page, at)
        expect(page.locator("#count-active")).to_have_attribute("data-value", "1")


def test_it_is_tried_less_and_less_often_but_not_too_rarely(
    browser: Browser,
    tmp_path: Path,
) -> None:
    (tmp_path / "house.py").write_text(HOUSE)
    with server(tmp_path, *PEER) as there, opened(browser, there.start()) as page:
        expect(page.locator("#feed-status")).to_have_attribute("data-state", "open")
        pauses = page.evaluate("[...Array(6)].map(() => (window.asyncmachine.feed.lost(), asyncmachine.feed.pause))")
        assert pauses == [2000, 4000, 8000, 15000, 15000, 15000]
        page.click("#live")  # who does not want to wait
        expect(page.locator("#feed-status")).to_have_attribute("data-state", "open")
        assert page.evaluate("window.asyncmachine.feed.pause") == 1000
